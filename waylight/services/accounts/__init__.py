"""Accounts of staff: kept by administrators, signed in to, with a second factor."""

from waylight.services.accounts.factors import (
    begin_totp,
    confirm_totp,
    new_recovery_codes,
    remove_totp,
)
from waylight.services.accounts.managing import (
    accept_invitation,
    change_account,
    change_policy,
    create_account,
    invite,
    list_accounts,
    read_account,
    read_policy,
    set_password,
)
from waylight.services.accounts.openid import (
    Answer,
    Begun,
    begin_sign_in,
    sign_in_with_provider,
    step_up_with_provider,
)
from waylight.services.accounts.sessions import (
    end_others,
    end_session,
    end_session_of,
    end_sessions_of,
    list_sessions,
    list_sessions_of,
)
from waylight.services.accounts.signing_in import SignIn, sign_in, step_up

__all__ = [
    "Answer",
    "Begun",
    "SignIn",
    "accept_invitation",
    "begin_sign_in",
    "begin_totp",
    "change_account",
    "change_policy",
    "confirm_totp",
    "create_account",
    "end_others",
    "end_session",
    "end_session_of",
    "end_sessions_of",
    "invite",
    "list_accounts",
    "list_sessions",
    "list_sessions_of",
    "new_recovery_codes",
    "read_account",
    "read_policy",
    "remove_totp",
    "set_password",
    "sign_in",
    "sign_in_with_provider",
    "step_up",
    "step_up_with_provider",
]
