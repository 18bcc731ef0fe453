"""`waylight staff`: the first administrator of an organisation, and help when none is left."""

import sys
from datetime import UTC, datetime
from uuid import UUID

import click

from waylight.cli.terminal import RowId, opened, say

ROLES = ("responder", "dispatcher", "analyst", "support_worker", "administrator", "auditor")


@click.group()
def staff() -> None:
    """Accounts of staff. Administrators do the same over the API."""


@staff.command("create")
@click.option("--organisation", required=True, help="The organisation's key in its city pack.")
@click.option("--city", help="The city's slug, when several are loaded.")
@click.option("--name", required=True, help="The person's name.")
@click.option("--email", required=True, help="What they sign in with.")
@click.option("--job", help="What they are there; the first role when left out.")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(ROLES),
    default=("administrator",),
    help="May be given several times (administrator).",
)
@click.option("--password-stdin", is_flag=True, help="Read the password instead of inviting.")
def create(
    *,
    organisation: str,
    city: str | None,
    name: str,
    email: str,
    job: str | None,
    roles: tuple[str, ...],
    password_stdin: bool,
) -> None:
    """Make an account and print its invitation, which cannot be read again."""
    from waylight.services.operations import staff as operations

    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else None
    with opened() as waylight:
        made = operations.create(
            waylight.database,
            waylight.vault,
            organisation=organisation,
            city=city,
            name=name,
            email=email,
            job=job or roles[0],
            roles=roles,
            password=password,
            now=datetime.now(UTC),
        )
    if made.invitation is None:
        say(f"Account {made.id}. It signs in at organisation {organisation}.")
    else:
        say(
            f"Account {made.id}. Its invitation is good once, until"
            f" {made.invitation.expires_at:%Y-%m-%d %H:%M} UTC; keep it now, it cannot be shown"
            " again. Set the password with POST /v1/invitations/accept:"
        )
        click.echo(made.invitation.token)


@staff.command("list")
def list_staff() -> None:
    """List every account: id, organisation, state, second factor, roles, name. No address."""
    from waylight.services.operations import staff as operations

    with opened() as waylight:
        for row in operations.everyone(waylight.database):
            state = "disabled" if row["disabled_at"] else "live"
            if not row["disabled_at"] and row["password_set_at"] is None:
                state = "invited" if row["invited_until"] else "no password"
            factor = "totp" if row["totp_since"] else "-"
            click.echo(
                f"{row['id']}  {row['organisation_key']:24}  {state:11}  {factor:4}"
                f"  {','.join(row['roles'])}  {row['name']}"
            )


@staff.command("invite")
@click.argument("account", type=RowId("staff"))
@click.option("--reset-totp", is_flag=True, help="With it the second factor goes as well.")
def invite(account: UUID, *, reset_totp: bool) -> None:
    """Print a new invitation for an account: for a forgotten password, or a lost telephone."""
    from waylight.services.operations import staff as operations

    with opened() as waylight:
        made = operations.invite(
            waylight.database, waylight.vault, account, reset_totp=reset_totp, now=datetime.now(UTC)
        )
    say(f"Good once, until {made.expires_at:%Y-%m-%d %H:%M} UTC:")
    click.echo(made.token)


@staff.command("disable")
@click.argument("account", type=RowId("staff"))
def disable(account: UUID) -> None:
    """End an account with every session and key of its person, at once."""
    from waylight.services.operations import staff as operations

    with opened() as waylight:
        operations.disable(waylight.database, waylight.vault, account, now=datetime.now(UTC))
    say(f"Account {account} is disabled.")


@staff.command("sign-out")
@click.argument("account", type=RowId("staff"))
def sign_out(account: UUID) -> None:
    """End every session of an account, at once."""
    from waylight.services.operations import staff as operations

    with opened() as waylight:
        ended = operations.sign_out(
            waylight.database, waylight.vault, account, now=datetime.now(UTC)
        )
    say(f"{ended} sessions ended.")


@staff.command("providers")
def list_providers() -> None:
    """List every OpenID provider: id, organisation, state, issuer, name."""
    from waylight.services.operations import staff as operations

    with opened() as waylight:
        for row in operations.providers(waylight.database):
            state = "enabled" if row["enabled"] else "disabled"
            click.echo(
                f"{row['id']}  {row['organisation_key']:24}  {state:8}  {row['issuer']}"
                f"  {row['name']}"
            )


@staff.command("disable-provider")
@click.argument("provider", type=RowId("provider"))
def disable_provider(provider: UUID) -> None:
    """Let nobody in by an OpenID provider any more, and end the sessions that it opened."""
    from waylight.services.operations import staff as operations

    with opened() as waylight:
        operations.disable_provider(
            waylight.database, waylight.vault, provider, now=datetime.now(UTC)
        )
    say(f"Provider {provider} is disabled; its sessions have ended.")
