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

-- Who acted on an incident, who of them was not stood down, and who watched over it, before reports
-- or alerts left it for another.
create table incident_parties (
    incident_id uuid not null,
    organisation_id uuid not null,
    part text not null,
    primary key (incident_id, organisation_id, part),
    constraint ck_incident_parties_part check (part in ('acts', 'works', 'oversees'))
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

# An organisation that was stood down, or that said no, has no part in the work any more. One whose
# alert went on in another incident works on the old one for as long as on the new one.
MORE = """
create function organisation_works_on(incident uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    with recursive line (id) as (
        select incident
        union
        select i.merged_into from incidents i join line on i.id = line.id
        where i.merged_into is not null)
    select exists (
        select from alerts a join line on a.incident_id = line.id
        where a.team_id is not null and a.organisation_id = acting_organisation()
          and a.state not in ('declined', 'expired', 'withdrawn')
          and (line.id = incident or exists (
              select from incident_parties p
              where p.incident_id = incident and p.part = 'works'
                and p.organisation_id = a.organisation_id)))
$$;

-- Whoever has the incident of a report, or watches over it; not whoever was only told of it.
create function organisation_may_redact(report uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from grants g
        where g.report_id = report and g.organisation_id = acting_organisation()
          and g.revoked_at is null and g.level = 'full'
          and (g.cause = 'oversight' or exists (
              select from reports r
              join incidents i on i.id = r.incident_id
              join alerts a on a.id = i.held_by_alert_id
              where r.id = report and a.organisation_id = g.organisation_id)))
$$;

-- Whether an event says only what its organisation may say: of itself, or of the teams that it
-- stands down. What recipients are told, what was sent, and what passengers did, only the intake
-- says. `person` is who did it.
create function organisation_may_say(kind text, about jsonb, report uuid, incident uuid, alert uuid,
                                     person uuid) returns boolean
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    us constant uuid := acting_organisation();
    told alerts;
begin
    if kind in ('alert.created', 'alert.updated', 'alert.escalated')
       or split_part(kind, '.', 1) in ('delivery', 'routing')
       or split_part(kind, '.', 1) = 'report'
          and not (kind = 'report.redacted' and organisation_may_redact(report))
       or person is not null and not exists (
           select from staff s where s.id = person and s.organisation_id = us)
       or about ? 'hub_id' and not exists (
           select from hubs h where h.id = (about->>'hub_id')::uuid and h.organisation_id = us)
       or about ? 'team_id' and not exists (
           select from teams t where t.id = (about->>'team_id')::uuid and t.organisation_id = us)
    then
        return false;
    end if;
    if alert is not null then
        select * into told from alerts a where a.id = alert;
        if told.organisation_id is distinct from us
           and not (kind = 'alert.withdrawn' and told.state = 'withdrawn'
                    or kind = 'alert.handed_over' and told.state = 'closed')
           or told.organisation_id is distinct from us and not exists (
               select from alerts ours
               where ours.incident_id = told.incident_id and ours.incident_id = incident
                 and ours.organisation_id = us and ours.team_id is not null
                 and told.team_id is not null
                 and ours.state in ('acknowledged', 'en_route', 'on_scene'))
        then
            return false;
        end if;
    elsif kind like 'alert.%' then
        return false;
    end if;
    return (report is null or report is not distinct from told.report_id
            or organisation_may_read(report))
       and (incident is null or incident is not distinct from told.incident_id
            or organisation_acts_on(incident) or organisation_oversees(incident));
end
$$;
revoke execute on function organisation_works_on(uuid), organisation_may_redact(uuid),
    organisation_may_say(text, jsonb, uuid, uuid, uuid, uuid) from public;
grant execute on function organisation_works_on(uuid), organisation_may_redact(uuid),
    organisation_may_say(text, jsonb, uuid, uuid, uuid, uuid) to waylight_staff;
"""

RIGHTS = """
grant select, insert on incident_notes, report_redactions, incident_parties to waylight_intake;
grant update (key_version, wrapped_key) on incident_notes to waylight_intake;
grant select, insert on incident_notes, report_redactions to waylight_staff;

create policy intake_all on incident_notes to waylight_intake using (true) with check (true);
create policy intake_all on report_redactions to waylight_intake using (true) with check (true);
create policy intake_all on incident_parties to waylight_intake using (true) with check (true);

create policy staff_works on incident_notes for select to waylight_staff
    using (organisation_id = (select acting_organisation())
           or organisation_works_on(incident_id) or organisation_oversees(incident_id));
-- Whoever declines says why, and has no part in it from then on.
create policy staff_writes on incident_notes for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and exists (select from staff s where s.id = staff_id)
                and (alert_id is null or exists (
                    select from alerts a
                    where a.id = alert_id and a.incident_id = incident_notes.incident_id
                      and a.team_id is not null
                      and a.organisation_id = incident_notes.organisation_id))
                and (organisation_works_on(incident_id) or organisation_oversees(incident_id)
                     or kind = 'decline' and alert_id is not null));
create policy staff_granted on report_redactions for select to waylight_staff
    using (organisation_may_read_story(report_id));
create policy staff_writes on report_redactions for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and exists (select from staff s where s.id = staff_id)
                and organisation_may_redact(report_id));
"""

# Who may see a report is decided for each (design, section 2): that somebody is expected at a hub,
# and came there, is about one report alone. What a team did is for all who are at work beside it.
TIGHTER = """
-- Where an incident is, and in which vehicle, staff read in the reports that they were granted: a
-- hub may read its row, and never where.
revoke select on incidents from waylight_staff;
grant select (id, city_id, category_groups, audience, exercise, opened_at, last_at, priority,
    report_count, state, held_by_alert_id, escalate_at, rung, restarted_at, unanswered_at,
    closed_at, version, about_alert_id, merged_into, split_from) on incidents to waylight_staff;

alter policy staff_told on alerts
    using (organisation_id = (select acting_organisation())
           or (team_id is not null or organisation_may_read(report_id))
              and (organisation_acts_on(incident_id) or organisation_oversees(incident_id)));
-- Nobody silences an incident: it is open with a ladder that runs or with a team that works, or was
-- closed by one that did. What is about a colleague has no ladder.
alter policy staff_acts on incidents
    using (organisation_acts_on(id))
    with check (organisation_acts_on(id)
                and (state = 'open' or organisation_works_on(id))
                and (state = 'closed' or escalate_at is not null or held_by_alert_id is not null
                     or about_alert_id is not null)
                and (held_by_alert_id is null or exists (
                    select from alerts a
                    where a.id = held_by_alert_id and a.incident_id = incidents.id
                      and a.team_id is not null
                      and a.state in ('acknowledged', 'en_route', 'on_scene'))));
-- Others are stood down or released; that they answered, they say themselves.
alter policy staff_acts on alerts
    using (organisation_id = (select acting_organisation())
           or team_id is not null and organisation_acts_on(incident_id))
    with check (organisation_id = (select acting_organisation())
                or team_id is not null and organisation_acts_on(incident_id)
                   and state in ('withdrawn', 'closed'));
alter policy staff_acts on deliveries
    using (exists (select from alerts a where a.id = alert_id
                   and (a.organisation_id = (select acting_organisation())
                        or a.team_id is not null and organisation_acts_on(a.incident_id))))
    with check (exists (select from alerts a where a.id = alert_id
                        and (a.organisation_id = (select acting_organisation())
                             or a.team_id is not null and organisation_acts_on(a.incident_id)
                                and deliveries.status = 'dropped'
                                and a.state in ('withdrawn', 'closed'))));
alter policy staff_told on events
    using (organisation_id = (select acting_organisation())
           or (report_id is null or organisation_may_read(report_id) or kind like 'incident.%'
               or kind like 'alert.%' and kind not in ('alert.created', 'alert.updated',
                                                       'alert.seen', 'alert.escalated')
                  and exists (select from alerts a where a.id = alert_id and a.team_id is not null))
              and (organisation_acts_on(incident_id) or organisation_oversees(incident_id)));
alter policy staff_acts on events
    with check (organisation_id = (select acting_organisation()) and sequence is null
                and organisation_may_say(kind, data, report_id, incident_id, alert_id, staff_id));
"""

AS_BEFORE = """
alter policy staff_acts on events
    with check (organisation_id = (select acting_organisation())
                and (incident_id is null and report_id is null
                     or organisation_acts_on(incident_id)
                     or exists (select from alerts a where a.id = alert_id
                                and a.organisation_id = (select acting_organisation())
                                and a.incident_id = events.incident_id)));
alter policy staff_told on events
    using (organisation_id = (select acting_organisation())
           or organisation_acts_on(incident_id) or organisation_oversees(incident_id));
drop policy staff_acts on deliveries;
create policy staff_acts on deliveries for update to waylight_staff
    using (exists (select from alerts a where a.id = alert_id
                   and (a.organisation_id = (select acting_organisation())
                        or organisation_acts_on(a.incident_id))));
drop policy staff_acts on incidents;
create policy staff_acts on incidents for update to waylight_staff
    using (organisation_acts_on(id));
drop policy staff_acts on alerts;
create policy staff_acts on alerts for update to waylight_staff
    using (organisation_id = (select acting_organisation()) or organisation_acts_on(incident_id));
alter policy staff_told on alerts
    using (organisation_id = (select acting_organisation())
           or organisation_acts_on(incident_id) or organisation_oversees(incident_id));
revoke select on incidents from waylight_staff;
grant select on incidents to waylight_staff;
"""


def _functions(*, parties: bool) -> None:
    for function, part in ((TOLD, "acts"), (ACTS, "acts"), (OVERSEES, "oversees")):
        op.execute(function.format(or_was=OR_WAS.format(part=part) if parties else ""))


def upgrade() -> None:
    op.execute(TABLES)
    _functions(parties=True)
    op.execute(MORE)
    op.execute(RIGHTS)
    op.execute(TIGHTER)


def downgrade() -> None:
    op.execute(AS_BEFORE)
    # The policies of the notes ask these functions, and these functions ask the parties.
    op.execute("drop table report_redactions, incident_notes")
    op.execute(
        "drop function organisation_may_say(text, jsonb, uuid, uuid, uuid, uuid),"
        " organisation_may_redact(uuid), organisation_works_on(uuid)"
    )
    _functions(parties=False)
    op.execute("drop table incident_parties")
    op.execute("alter table alerts drop column handed_from")
    op.execute("alter table incidents drop column merged_into, drop column split_from")
