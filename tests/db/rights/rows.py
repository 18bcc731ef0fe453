"""Rows about a report in every private table, and who sees them."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

NOW = datetime(2026, 11, 21, 23, 41, tzinfo=UTC)


def names(database, statement, *parameters):
    with database.owner() as conn:
        return {row[0] for row in conn.execute(statement, parameters)}


@dataclass(frozen=True)
class Rows:
    """One report told to an organisation, with a row about it in every private table."""

    report: UUID
    incident: UUID
    alert: UUID

    @classmethod
    def insert(cls, conn, *, organisation, oversight=None):
        self = cls(*conn.execute("select uuid_v7(), uuid_v7(), uuid_v7()").fetchone())
        conn.execute(
            "insert into reports (id, received_at, happened_estimated, happening, age_s,"
            " categories, category_groups, perspective, wants, needs, share_with,"
            " location_source, priority, urgency, severity, certainty, reasons, routing,"
            " warnings, status, incident_id, exercise) values (%s, %s, false, 'now', 0, '{}',"
            " '{}', 'experienced', '{}', '{}', '{}', 'none', 1, 'Immediate', 'Extreme',"
            " 'Observed', '[]', '[]', '[]', 'routed', %s, false)",
            [self.report, NOW, self.incident],
        )
        conn.execute(
            "insert into report_secrets (report_id, key_version) values (%s, 1)", [self.report]
        )
        conn.execute(
            "insert into incidents (id, category_groups, audience, exercise, opened_at, last_at,"
            " priority) values (%s, '{}', 'open', false, %s, %s, 1)",
            [self.incident, NOW, NOW],
        )
        conn.execute(
            "insert into alerts (id, incident_id, report_id, organisation_id, team_id, role, rank,"
            " priority, reasons, exercise, created_at)"
            " values (%s, %s, %s, %s, uuid_v7(), 'primary', 1, 1, '[]', false, %s)",
            [self.alert, self.incident, self.report, organisation, NOW],
        )
        conn.execute(
            "insert into deliveries (alert_id, report_id, channel, message, priority, exercise,"
            " created_at) values (%s, %s, 'console', 'alert.created', 1, false, %s)",
            [self.alert, self.report, NOW],
        )
        conn.execute(
            "insert into events (kind, at, organisation_id, report_id, incident_id, alert_id)"
            " values ('alert.created', %s, %s, %s, %s, %s)",
            [NOW, organisation, self.report, self.incident, self.alert],
        )
        conn.execute(
            "insert into audit_entries (at, staff_id, organisation_id, action, report_id)"
            " values (%s, %s, %s, 'report.read', %s)",
            [NOW, uuid4(), organisation, self.report],
        )
        for who, cause in ((organisation, "routing"), (oversight, "oversight")):
            if who:
                conn.execute(
                    "insert into grants (report_id, organisation_id, cause, level, created_at,"
                    " created_by) values (%s, %s, %s, 'full', %s, 'routing')",
                    [self.report, who, cause, NOW],
                )
        return self


SEEN = ("reports", "report_secrets", "incidents", "alerts", "deliveries", "events")
THEIRS = ("grants", "audit_entries")


def seen(database, organisation, tables):
    with database.staff(organisation) as conn:
        return {
            table: conn.execute(f"select count(*) from {table}").fetchone()[0]  # noqa: S608 - ours
            for table in tables
        }
