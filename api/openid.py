"""Signing in by an OpenID provider: begun and ended by a page or an app, as JSON.

The provider leads to the page or app that began, never to us: nothing here redirects, sets a cookie
or reads one. What binds the answer to where it began is `sign_in`, which only that place has.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import current_app, g

from api.wire import limits
from api.wire.auth import principal, require
from api.wire.blueprint import Blueprint, View, document_responses
from api.wire.context import now, waylight
from schemas.identity_providers import (
    ProviderSessionOut,
    SignInBeginIn,
    SignInBegunOut,
    SignInEndIn,
)
from schemas.sessions import FreshOut
from waylight.channels.openid import OpenIdProviders
from waylight.domain.accounts import ProviderSession
from waylight.domain.errors import SignInRefused, Unavailable
from waylight.domain.principals import Kind
from waylight.services import accounts
from waylight.services.accounts import Answer, Begun

blueprint = Blueprint("openid", __name__, description="Signing in by an OpenID provider.")

EXTENSION = "waylight.openid"


@contextmanager
def counting_failures() -> Iterator[None]:
    """Counts a sign-in that comes to nothing against its address. Raises TooManyRequests."""
    limits.check_failures(limits.FAILED_SIGN_INS)
    try:
        yield
    except (SignInRefused, Unavailable):
        limits.count_failure(limits.FAILED_SIGN_INS)
        raise


def _refusing(view: View) -> View:
    return document_responses(view, 401)


@blueprint.route('/v1/sign-in/<wire_id("provider"):provider_id>', methods=["POST"])
@require(Kind.NOBODY)
@blueprint.doc(responses={404: "Problem404"})
@blueprint.arguments(SignInBeginIn, required=False, example=SignInBeginIn.example)
@blueprint.response(201, SignInBegunOut, example=SignInBegunOut.example)
def begin(body: dict[str, Any], provider_id: UUID) -> Begun:
    """Begin to sign somebody in by their organisation's provider. They have ten minutes."""
    context = waylight()
    return accounts.begin_sign_in(
        context.database, context.vault, _providers(), provider_id, **body, now=now()
    )


@blueprint.route("/v1/sessions/openid", methods=["POST"])
@require(Kind.NOBODY)
@_refusing
@blueprint.arguments(SignInEndIn, example=SignInEndIn.example)
@blueprint.response(201, ProviderSessionOut, example=ProviderSessionOut.example)
def end(body: dict[str, Any]) -> ProviderSession:
    """End it, once: a session for whoever the provider vouches for.

    Whatever is wrong, it answers `sign_in_refused`: begin again.
    """
    context, settings = waylight(), waylight().settings
    with counting_failures():
        return accounts.sign_in_with_provider(
            context.database,
            context.vault,
            _providers(),
            Answer(**body),
            session_s=settings.session_s,
            idle_s=settings.session_idle_s,
            request_id=g.request_id,
            now=now(),
        )


@blueprint.route("/v1/sessions/current/step-up/openid", methods=["POST"])
@require(Kind.STAFF)
@blueprint.arguments(SignInEndIn, example=SignInEndIn.example)
@blueprint.response(200, FreshOut, example=FreshOut.example)
def step_up(body: dict[str, Any]) -> dict[str, datetime]:
    """Prove once more that it is you, by a sign-in that was begun with `fresh`."""
    context = waylight()
    until = accounts.step_up_with_provider(
        context.database, context.vault, _providers(), principal(), Answer(**body), now=now()
    )
    return {"fresh_until": until}


def _providers() -> OpenIdProviders:
    """How this process speaks to providers; made when it first does."""
    extensions = current_app.extensions
    if EXTENSION not in extensions:
        extensions[EXTENSION] = OpenIdProviders.from_settings(waylight().settings)
    found: OpenIdProviders = extensions[EXTENSION]
    return found
