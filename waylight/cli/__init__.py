"""`waylight`: everything a person at a terminal can ask for. `python -m waylight.cli --help`."""

import click

from waylight.cli import (
    audit,
    backups,
    data,
    documents,
    exercise,
    health,
    keys,
    looking,
    organisations,
    processes,
    rotation,
    staff,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def cli() -> None:
    """Waylight: reports in, help on its way.

    Settings come from the environment, WAYLIGHT_DATABASE_URL, WAYLIGHT_VAULT_KEYS and
    WAYLIGHT_RECEIPT_KEYS before all; `waylight doctor` says what is missing.
    """


for command in (
    processes.serve,
    processes.stream,
    processes.worker,
    data.migrate,
    data.load,
    backups.backup,
    backups.restore,
    keys.key,
    staff.staff,
    organisations.organisation,
    rotation.secrets,
    audit.audit,
    looking.openapi,
    documents.documents,
    looking.doctor,
    exercise.exercise,
    health.healthy,
):
    cli.add_command(command)
