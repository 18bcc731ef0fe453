"""Sessions of those for whom a provider vouches: opened, and stepped up."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from uuid_utils import uuid7

from waylight.db import accounts as db_accounts
from waylight.db import identity_providers as db
from waylight.db import sessions as db_sessions
from waylight.db.session import Database
from waylight.domain import roles as domain_roles
from waylight.domain.accounts import FRESH_FOR, ProviderSession, lacking_factor
from waylight.domain.errors import StateConflict
from waylight.domain.identity_providers import Providers, Unfit
from waylight.domain.principals import Principal
from waylight.services.accounts.identity import person_of, session_of, tell
from waylight.services.accounts.openid.people import account_of_proved
from waylight.services.accounts.openid.proving import Answer, Proved, one_answer, prove
from waylight.vault import Vault


def sign_in_with_provider(
    database: Database,
    vault: Vault,
    providers: Providers,
    answer: Answer,
    *,
    session_s: int,
    idle_s: int,
    request_id: str | None = None,
    now: datetime,
) -> ProviderSession:
    """A session for whoever brings back what the provider gave them for this sign-in.

    Raises SignInRefused, the same for whatever is wrong; Unavailable where the provider does not
    answer. Roles are those of the mapping, from now on.
    """
    proved = prove(database, vault, providers, answer, now=now)
    token = vault.new_token("session")
    expires_at = now + timedelta(seconds=session_s)
    fresh_until = now + FRESH_FOR if proved.fresh else None
    opened = {
        "token_hash": vault.hash_token(token),
        "idle_s": idle_s,
        "expires_at": expires_at,
        "fresh_until": fresh_until,
        "second_factor": proved.has_second_factor,
    }
    with one_answer(proved.provider["id"]):
        try:
            account, policy = _let_in(database, vault, proved, opened, request_id, now=now)
        except StateConflict:
            # Somebody new who comes twice at once: by now they are there.
            account, policy = _let_in(database, vault, proved, opened, request_id, now=now)
    must_enrol, must_prove = lacking_factor(
        is_demanded=domain_roles.needs_totp(account["roles"], demanded=policy["requires_totp"]),
        has_totp=account["totp_since"] is not None,
        by_provider=True,
        is_proved=proved.has_second_factor,
    )
    scopes = frozenset[str]()
    if not must_enrol and not must_prove:
        scopes = domain_roles.scopes_of(account["roles"])
    return ProviderSession(
        token=token,
        expires_at=expires_at,
        idle_s=idle_s,
        scopes=tuple(sorted(scopes)),
        must_enrol=must_enrol,
        must_prove=must_prove,
        fresh_until=fresh_until,
    )


def _let_in(
    database: Database,
    vault: Vault,
    proved: Proved,
    opened: Mapping[str, Any],
    request_id: str | None,
    *,
    now: datetime,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Opens a session, by its columns: the account, and what its organisation demands.

    All as staff of the provider's organisation. Raises Unfit, and StateConflict where the same
    person is just being made.
    """
    row, session_id = proved.provider, UUID(bytes=uuid7().bytes)
    with database.staff(row["organisation_id"]) as conn:
        # What was changed while the provider was asked must not be got round.
        if not db.hold(conn, row["id"], version=row["version"]):
            raise Unfit("provider_changed")
        account = account_of_proved(conn, vault, proved, request_id=request_id, now=now)
        if not db.open_session(
            conn,
            session_id=session_id,
            provider_id=row["id"],
            staff_id=account["id"],
            now=now,
            **opened,
        ):
            raise Unfit("disabled")
        tell(
            conn,
            "session.opened",
            organisation_id=row["organisation_id"],
            account=account["id"],
            by=account["id"],
            now=now,
            session_id=str(session_id),
            provider_id=str(row["id"]),
            roles=account["roles"],
            second_factor=proved.has_second_factor,
        )
        return account, db_accounts.policy(conn, row["organisation_id"])


def step_up_with_provider(
    database: Database,
    vault: Vault,
    providers: Providers,
    principal: Principal,
    answer: Answer,
    *,
    now: datetime,
) -> datetime:
    """Makes the caller's session fresh: their provider asked them anew. Returns until when.

    Raises NotAllowed for a key; SignInRefused for whatever is wrong, also for somebody else, for
    whoever would not be let in any more, and for a sign-in that was not begun with `fresh`;
    Unavailable where the provider does not answer.
    """
    staff_id, organisation_id = person_of(principal)
    session_id = session_of(principal)
    proved = prove(database, vault, providers, answer, now=now)
    row = proved.provider
    with one_answer(row["id"]), database.staff(organisation_id) as conn:
        if not proved.fresh:
            raise Unfit("not_fresh")
        proved.check_let_in()
        # Of a provider of another organisation this one knows nobody.
        if db.person_of(conn, row["id"], proved.subject_hash, now=now) != staff_id:
            raise Unfit("other_person")
    until = now + FRESH_FOR
    with database.intake() as conn:
        db_sessions.freshen(conn, session_id, until=until)
        if proved.has_second_factor:
            db_sessions.prove_factor(conn, session_id)
        tell(
            conn,
            "session.stepped_up",
            organisation_id=organisation_id,
            account=staff_id,
            by=staff_id,
            now=now,
            session_id=str(session_id),
            provider_id=str(row["id"]),
        )
    return until
