"""Tickets: how a page opens the stream, since an `EventSource` sends no header of its own."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from waylight.db import stream as db
from waylight.db import teams as db_teams
from waylight.db.session import Database
from waylight.domain.errors import NotAllowed, NotFound
from waylight.domain.principals import Principal
from waylight.domain.stream import TICKET_S
from waylight.services import keys
from waylight.services.staff import organisation_of
from waylight.vault import Vault

PURPOSE = "stream ticket"


@dataclass(frozen=True)
class IssuedTicket:
    """A ticket at the only moment when it can be read."""

    ticket: str
    expires_at: datetime


@dataclass(frozen=True)
class Redeemed:
    """Whose ticket it was, and the team that its stream is about, if one."""

    principal: Principal
    team_id: UUID | None


def issue_ticket(
    database: Database,
    vault: Vault,
    *,
    principal: Principal,
    team_id: UUID | None,
    now: datetime,
) -> IssuedTicket:
    """A ticket that opens the stream once, within TICKET_S, for this person and this team.

    It says what the key says at the moment of its use: no more, and nothing once the key has ended.
    Raises NotFound for a team the caller may not see, NotAllowed for whoever is not staff.
    """
    see_team(database, principal, team_id, now=now)
    if principal.key_id is None:
        raise NotAllowed("A ticket is made with a key.")
    token = vault.new_token(PURPOSE)
    expires_at = now + timedelta(seconds=TICKET_S)
    with database.intake() as conn:
        db.keep_ticket(
            conn,
            token_hash=vault.hash_token(token),
            key_id=principal.key_id,
            team_id=team_id,
            now=now,
            expires_at=expires_at,
        )
    return IssuedTicket(ticket=token, expires_at=expires_at)


def redeem_ticket(
    database: Database, vault: Vault, ticket: str, *, now: datetime
) -> Redeemed | None:
    """Uses a ticket up; None for one that was used, is over or never was. Raises Unavailable."""
    with database.intake() as conn:
        found = db.redeem_ticket(conn, vault.hash_token(ticket), now=now)
    if found is None:
        return None
    return Redeemed(principal=keys.principal_of(found), team_id=found["team_id"])


def see_team(
    database: Database, principal: Principal, team_id: UUID | None, *, now: datetime
) -> None:
    """Raises NotFound for a team that the caller may not see; nothing without a team."""
    organisation_id = organisation_of(principal)
    if team_id is None:
        return
    with database.staff(organisation_id) as conn:
        if db_teams.find(conn, team_id, organisation_id, now=now) is None:
            raise NotFound
