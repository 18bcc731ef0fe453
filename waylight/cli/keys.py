"""`waylight key`: the keys of staff and of programs."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import click

from waylight.cli.terminal import RowId, opened, say

DEMO_FILE = Path(__file__).resolve().parents[2] / ".local" / "demo.json"


@click.group()
def key() -> None:
    """Make, list, rotate and revoke the keys of staff and of programs."""


@key.command("create")
@click.option("--organisation", help="The organisation's key in its city pack.")
@click.option("--city", help="The city's slug, when several are loaded.")
@click.option("--person", help="Whose key it is: makes a staff key.")
@click.option("--role", help="The person's role, such as officer or controller.")
@click.option("--client", "program", help="What program it is for: makes a client key.")
@click.option("--scope", "scopes", multiple=True, help="May be given several times.")
@click.option("--days", type=click.IntRange(min=1), help="Ends after so many days.")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="A web page that may call with a client key, like https://app.example; several times.",
)
def create_key(
    *,
    organisation: str | None,
    city: str | None,
    person: str | None,
    role: str | None,
    program: str | None,
    scopes: tuple[str, ...],
    days: int | None,
    origins: tuple[str, ...],
) -> None:
    """Make a key and print its token, which cannot be read again."""
    from waylight.services import keys

    if bool(person) == bool(program):
        raise click.UsageError("Say either --person NAME, for staff, or --client NAME.")
    now = datetime.now(UTC)
    expires_at = now + timedelta(days=days) if days else None
    with opened() as waylight:
        if person:
            if origins:
                raise click.UsageError("--origin is for a client key.")
            if not organisation or not role:
                raise click.UsageError("A person needs an --organisation and a --role.")
            issued = keys.create_staff_key(
                waylight.database,
                waylight.vault,
                organisation=organisation,
                person=person,
                role=role,
                scopes=scopes,
                city=city,
                expires_at=expires_at,
                now=now,
            )
        else:
            issued = keys.create_client_key(
                waylight.database,
                waylight.vault,
                name=program or "",
                scopes=scopes,
                organisation=organisation,
                city=city,
                expires_at=expires_at,
                allowed_origins=origins,
                now=now,
            )
    say(f"Key {issued.id}. Keep its token now; it cannot be shown again:")
    click.echo(issued.token)


@key.command("list")
def list_keys() -> None:
    """List every key: id, kind, whose, until when, last used, what for, from which pages."""
    from waylight.services import keys

    with opened() as waylight:
        now = datetime.now(UTC)
        for record in keys.list_keys(waylight.database):
            state = "live"
            if record.revoked_at:
                state = f"revoked {record.revoked_at:%Y-%m-%d}"
            elif record.expires_at:
                state = "ended" if record.expires_at <= now else "ends"
                state += f" {record.expires_at:%Y-%m-%d}"
            if record.old_token_until and record.old_token_until > now:
                state += f", old token until {record.old_token_until:%Y-%m-%d %H:%M}"
            used = f"used {record.last_used_on}" if record.last_used_on else "never used"
            click.echo(
                f"{record.id}  {record.kind:6}  {state:18}  {used:15}  {record.name}"
                f"  [{record.organisation or '-'}]"
                f"  {' '.join((*record.scopes, *record.allowed_origins))}"
            )


@key.command("rotate")
@click.argument("key_id", type=RowId("key", "client"))
@click.option(
    "--overlap-hours",
    type=click.IntRange(min=0, max=720),
    default=24,
    show_default=True,
    help="How long the token before goes on working; 0 for one that leaked.",
)
def rotate_key(key_id: UUID, overlap_hours: int) -> None:
    """Give a key a new token and print it; the one before works for a while beside it."""
    from waylight.services import keys

    overlap = timedelta(hours=overlap_hours)
    with opened() as waylight:
        issued = keys.rotate_key(
            waylight.database, waylight.vault, key_id, overlap=overlap, now=datetime.now(UTC)
        )
    say(f"Key {issued.id} has a new token. Keep it now; it cannot be shown again:")
    click.echo(issued.token)


@key.command("revoke")
@click.argument("key_id", type=RowId("key", "client"))
def revoke_key(key_id: UUID) -> None:
    """End the key with this id, at once."""
    from waylight.services import keys

    with opened() as waylight:
        keys.revoke_key(waylight.database, waylight.vault, key_id, now=datetime.now(UTC))
    say(f"Key {key_id} is revoked.")


@key.command("vapid")
def vapid_key() -> None:
    """Make a key that signs push messages: the line for the environment. Needs no settings."""
    from waylight.vault import Vault

    private, public = Vault.new_push_key()
    say(
        "Set this for the API and the workers, where secrets are kept. To change keys, put it in"
        " front of the old one with a comma, and drop the old one when no device has `renew`."
    )
    say(f"Its public key, which GET /v1/push/key tells: {public}")
    click.echo(f"WAYLIGHT_VAPID_KEYS={private}")


@key.command("demo")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=DEMO_FILE,
    help="Where to keep them (.local/demo.json).",
)
def demo_keys(path: Path) -> None:
    """Make the demo's credentials, keeping those that still work."""
    from waylight.services.operations import demo

    with opened() as waylight:
        if waylight.settings.profile == "production":
            raise click.ClickException(
                "Tokens in a file are for the demo: set WAYLIGHT_PROFILE=demo, or use `key create`."
            )
        report = demo.write_demo_keys(
            waylight.database,
            waylight.vault,
            path,
            base_url=waylight.settings.base_url,
            city=waylight.settings.default_city,
            now=datetime.now(UTC),
        )
    for name in report.missing:
        say(f"No organisation in this city for {name}.")
