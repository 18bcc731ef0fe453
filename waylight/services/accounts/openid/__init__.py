"""Signing in by an OpenID provider: begun, proved by it, and a session for whom it vouches.

Nothing is stored of a sign-in that is begun: what its answer must fit is sealed, and kept by the
browser or app that began it. Nobody else can end it, and it ends once.

A provider belongs to one organisation. Whom it vouches for is looked for, made and let in as staff
of that organisation, whose policies show no one of another.
"""

from waylight.services.accounts.openid.opening import sign_in_with_provider, step_up_with_provider
from waylight.services.accounts.openid.proving import Answer, Begun, begin_sign_in

__all__ = [
    "Answer",
    "Begun",
    "begin_sign_in",
    "sign_in_with_provider",
    "step_up_with_provider",
]
