"""`waylight backup` and `waylight restore`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from waylight.cli.terminal import opened, say

if TYPE_CHECKING:
    from waylight.services.operations.backups import Manifest, Restored


@click.command()
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for it; made, for you alone, when it is not there.",
)
@click.option("--keep", type=click.IntRange(min=1), help="Delete all but the newest KEEP.")
def backup(*, folder: Path, keep: int | None) -> None:
    """Write the database into a new file, while it is in use, and print the file's path.

    The keys are NOT in it. Without WAYLIGHT_VAULT_KEYS no story, and without
    WAYLIGHT_RECEIPT_KEYS no receipt in it can ever be used again: keep them in another place, and
    as long as the backup.
    """
    from waylight.services.operations import backups

    with opened() as waylight:
        path = backups.back_up(
            waylight.database,
            waylight.vault,
            waylight.settings,
            folder=folder,
            keep=keep,
            now=datetime.now(UTC),
            progress=say,
        )
    say(
        "Whoever has this file can read where and when reports were made, but no story. The KEYS"
        " ARE NOT IN IT: keep WAYLIGHT_VAULT_KEYS and WAYLIGHT_RECEIPT_KEYS in another place, as"
        " long as this file."
    )
    click.echo(path)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--into", metavar="NAME", help="Restore into a fresh database NAME beside it.")
@click.option("--check", is_flag=True, help="Only say what is in it, and whether it is whole.")
@click.option("--drill", is_flag=True, help="Restore into a database that is dropped at the end.")
@click.option(
    "--quiet-alerts",
    is_flag=True,
    help="Send no alert that was under way: incidents stay open, unanswered, in every inbox.",
)
def restore(*, file: Path, into: str | None, check: bool, drill: bool, quiet_alerts: bool) -> None:
    """Bring the backup FILE back into an empty database: all of it, or nothing.

    Restore only a file of your own: it is run with all the rights of WAYLIGHT_DATABASE_URL.
    """
    from waylight.services.operations import backups

    if check + drill + (into is not None) > 1:
        raise click.UsageError("Say one of --check, --drill and --into.")
    now = datetime.now(UTC)
    with opened() as waylight:
        if check:
            _describe(backups.check(file, waylight.vault))
            say("The file is whole, and every key that it needs is set.")
            return
        if drill:
            proved = backups.drill(waylight.settings, waylight.vault, file, now=now, progress=say)
            _describe(proved.manifest)
            _say_proved(proved)
            return
        done = backups.restore(
            waylight.settings,
            waylight.vault,
            file,
            into=into,
            quiet_alerts=quiet_alerts,
            now=now,
            progress=say,
        )
    _describe(done.manifest)
    _what_next(done, into)


def _describe(manifest: "Manifest") -> None:
    say(
        f"Taken at {manifest.taken_at} of {manifest.database!r}: {manifest.rows} rows in"
        f" {len(manifest.tables)} tables, schema {manifest.revision}, Waylight {manifest.waylight},"
        f" PostgreSQL {manifest.postgresql}, PostGIS {manifest.postgis}."
    )
    for purpose, what in (
        ("vault", "stories"),
        ("receipt", "receipts"),
        ("support", "support cases"),
    ):
        for version, use in manifest.keys.get(purpose, {}).items():
            say(f"  {use.count} {what} need {purpose} key {version} ({use.fingerprint or 'LOST'})")
    say(
        f"  {manifest.incidents_open} incidents open, {manifest.incidents_climbing} climbing"
        + (f" since {manifest.climbing_since}" if manifest.climbing_since else "")
        + f"; {manifest.messages_waiting} messages waiting; last event {manifest.last_sequence}"
    )


def _say_proved(done: "Restored") -> None:
    say(
        f"Restored, and proved: every row counted, {done.receipts_tried} receipts tried,"
        f" {done.stories_opened} stories opened."
    )
    if done.audit is not None and done.audit.broken is None:
        say(f"The audit log is whole: {done.audit.seals} seals, {done.audit.entries} entries.")
    elif done.audit is not None:
        say(
            "THE CHAIN OF THE AUDIT LOG IS BROKEN, as it was when the backup was taken: run"
            " `waylight audit verify`."
        )


def _what_next(done: "Restored", into: str | None) -> None:
    _say_proved(done)
    if done.ladders_stopped or done.messages_dropped:
        say(
            f"{done.ladders_stopped} ladders stopped and {done.messages_dropped} messages dropped:"
            " look through the inboxes for what is unanswered."
        )
    elif done.manifest.incidents_climbing or done.manifest.messages_waiting:
        say(
            "AS SOON AS A WORKER RUNS, these ladders climb and these messages are sent. If they are"
            " too old to wake anybody, drop this database and restore with --quiet-alerts."
        )
    say("Lost, or back again, since the backup was taken:")
    say("  reports accepted since are gone, and so are their receipts;")
    say("  the audit log ends where the backup was taken; a later checkpoint says what is lost;")
    say("  keys revoked since work again: see `waylight key list`, and revoke them again;")
    say("  stories withdrawn since can be read again: withdraw them again;")
    say(f"  whoever follows events must start again after number {done.manifest.last_sequence}.")
    say("Next:")
    if into:
        say(f"  let WAYLIGHT_DATABASE_URL name the database {into!r}")
    if done.needs_migration:
        say(f"  waylight migrate   (the schema is at {done.manifest.revision})")
    say("  waylight doctor, then start the worker and the API")
