"""Notes, hand-over, merging, splitting and redaction.

An incident that is merged away keeps its own history: its reports and the alerts that live go to
the other one, and who acted on it before is kept in `incident_parties`, so that what was said there
stays readable for those people and for nobody else.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLES = """
alter table incidents add column merged_into uuid, add column split_from uuid;
create index ix_incidents_merged_into on incidents (merged_into) where merged_into is not null;
create index ix_incidents_split_from on incidents (split_from) where split_from is not null;
alter table alerts add column handed_from uuid;

-- Free text of staff, closed by a key of each note. Never changed: a correction is a new note.
create table incident_notes (
    id uuid primary key,
    incident_id uuid not null,
    alert_id uuid,
    organisation_id uuid not null,
    staff_id uuid not null,
    kind text not null,
    at timestamptz not null,
    key_version smallint not null,
    wrapped_key bytea,
    note bytea,
    retry_hash bytea constraint uq_incident_notes_retry_hash unique,
    constraint ck_incident_notes_kind check (kind in ('note', 'decline', 'close', 'hand_over',
        'reopen', 'merge', 'split'))
);
create index ix_incident_notes_incident_id on incident_notes (incident_id, id);

-- What readers get instead of a passenger's text, which stays as it was. Closed by the key of the
-- report: erasing that erases these with it.
create table report_redactions (
    id uuid primary key,
    report_id uuid not null,
    field text not null,
    organisation_id uuid not null,
    staff_id uuid not null,
    at timestamptz not null,
    redacted bytea not null,
    reason bytea not null,
    constraint ck_report_redactions_field check (field in ('narrative', 'description_of_person',
        'location_description'))
);
create index ix_report_redactions_report_id on report_redactions (report_id, id);

-- Who acted on an incident, or watched over it, before reports or alerts left it for another.
create table incident_parties (
    incident_id uuid not null,
    organisation_id uuid not null,
    part text not null,
    primary key (incident_id, organisation_id, part),
    constraint ck_incident_parties_part check (part in ('acts', 'oversees'))
);

alter table incident_notes enable row level security;
alter table report_redactions enable row level security;
alter table incident_parties enable row level security;
"""

TOLD = """
create or replace function organisation_is_told(incident uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from alerts where incident_id = incident and organisation_id = acting_organisation()
    ){or_was}
$$;
"""

ACTS = """
create or replace function organisation_acts_on(incident uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from alerts where incident_id = incident and team_id is not null
          and organisation_id = acting_organisation()
    ){or_was}
$$;
"""

OVERSEES = """
create or replace function organisation_oversees(incident uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from reports r join grants g on g.report_id = r.id
        where r.incident_id = incident and g.organisation_id = acting_organisation()
          and g.cause = 'oversight' and g.revoked_at is null
    ){or_was}
$$;
"""

OR_WAS = """ or exists (
        select from incident_parties p where p.incident_id = incident and p.part = '{part}'
          and p.organisation_id = acting_organisation()
    )"""

RIGHTS = """
grant select, insert on incident_notes, report_redactions, incident_parties to waylight_intake;
grant update (key_version, wrapped_key) on incident_notes to waylight_intake;
grant select, insert on incident_notes, report_redactions to waylight_staff;

create policy intake_all on incident_notes to waylight_intake using (true) with check (true);
create policy intake_all on report_redactions to waylight_intake using (true) with check (true);
create policy intake_all on incident_parties to waylight_intake using (true) with check (true);

create policy staff_acts on incident_notes for select to waylight_staff
    using (organisation_acts_on(incident_id) or organisation_oversees(incident_id));
create policy staff_writes on incident_notes for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and (organisation_acts_on(incident_id) or organisation_oversees(incident_id)));
create policy staff_granted on report_redactions for select to waylight_staff
    using (organisation_may_read_story(report_id));
create policy staff_writes on report_redactions for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and organisation_may_read_story(report_id));

-- The control room writes in an incident it watches over: a note, a redaction.
create policy staff_oversees on events for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and organisation_oversees(incident_id));
"""


def _functions(*, parties: bool) -> None:
    for function, part in ((TOLD, "acts"), (ACTS, "acts"), (OVERSEES, "oversees")):
        op.execute(function.format(or_was=OR_WAS.format(part=part) if parties else ""))


def upgrade() -> None:
    op.execute(TABLES)
    _functions(parties=True)
    op.execute(RIGHTS)


def downgrade() -> None:
    op.execute("drop policy staff_oversees on events")
    # The policies of the notes ask these functions, and these functions ask the parties.
    op.execute("drop table report_redactions, incident_notes")
    _functions(parties=False)
    op.execute("drop table incident_parties")
    op.execute("alter table alerts drop column handed_from")
    op.execute("alter table incidents drop column merged_into, drop column split_from")
