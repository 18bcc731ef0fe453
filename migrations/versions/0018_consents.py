"""Consent that is given, taken back and given again, and told; what analysts may read.

A grant is one row for each report, organisation and cause: what it was before it was given again
is kept in `past_grants`.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

GRANTS = """
alter table grants add column revoked_by text;

create table past_grants (
    id uuid primary key default uuid_v7(),
    report_id uuid not null,
    organisation_id uuid not null,
    cause text not null,
    level text not null,
    created_at timestamptz not null,
    created_by text not null,
    revoked_at timestamptz not null,
    revoked_by text
);
create index ix_past_grants_report_id on past_grants (report_id);
alter table past_grants enable row level security;
grant select, insert on past_grants to waylight_intake;
create policy intake_all on past_grants to waylight_intake using (true) with check (true);

-- Consent is told by whatever statement gives it, in its transaction: also by the one write of a
-- report, which stays as it is. Routing and hand-over tell by their alerts.
create function tell_of_consent() returns trigger language plpgsql as $$
begin
    insert into events (kind, at, city_id, organisation_id, report_id, data, exercise)
    select 'grant.created', new.created_at, r.city_id, new.organisation_id, r.id,
           jsonb_build_object('reason', new.cause), r.exercise
    from reports r where r.id = new.report_id;
    return null;
end
$$;
create trigger grants_consent after insert on grants
    for each row when (new.cause = 'consent' and new.revoked_at is null)
    execute function tell_of_consent();

-- Whether the organisation goes on reading by another grant is said with it.
create function tell_of_revocation() returns trigger language plpgsql as $$
begin
    if new.revoked_at is not null then
        if new.cause = 'consent' then
            perform destroy_support(new.report_id, new.organisation_id, new.revoked_at);
        end if;
        insert into events (kind, at, city_id, organisation_id, report_id, data, exercise)
        select 'grant.revoked', new.revoked_at, r.city_id, new.organisation_id, r.id,
               jsonb_build_object('reason', new.cause, 'still_reads', exists (
                   select from grants g
                   where g.report_id = new.report_id and g.organisation_id = new.organisation_id
                     and g.revoked_at is null)),
               r.exercise
        from reports r where r.id = new.report_id;
    else
        insert into past_grants (report_id, organisation_id, cause, level, created_at, created_by,
                                 revoked_at, revoked_by)
        values (old.report_id, old.organisation_id, old.cause, old.level, old.created_at,
                old.created_by, old.revoked_at, old.revoked_by);
        if new.cause = 'consent' then
            insert into events (kind, at, city_id, organisation_id, report_id, data, exercise)
            select 'grant.created', new.created_at, r.city_id, new.organisation_id, r.id,
                   jsonb_build_object('reason', new.cause), r.exercise
            from reports r where r.id = new.report_id;
        end if;
    end if;
    return null;
end
$$;
create trigger grants_revocation after update on grants
    for each row when ((old.revoked_at is null) <> (new.revoked_at is null))
    execute function tell_of_revocation();

-- A grant is taken back, never deleted, and what it was never rewritten.
create function keep_grants() returns trigger language plpgsql as $$
begin
    raise exception 'a grant is revoked, not deleted, and its past is kept';
end
$$;
create trigger past_grants_append_only before update or delete or truncate on past_grants
    for each statement execute function keep_grants();
"""

SUPPORTING = """
       or split_part(kind, '.', 1) = 'support'
          and not (kind = 'support.note_added' and reads_as() = 'support'
                   and organisation_supports(report))"""

# As in migration 0012, but for what a passenger agreed to, which only the intake says, and for what
# a support service did.
SAY = """
create or replace function organisation_may_say(kind text, about jsonb, report uuid, incident uuid,
                                                alert uuid, person uuid) returns boolean
language plpgsql stable security definer set search_path = public, pg_temp as $$
declare
    us constant uuid := acting_organisation();
    told alerts;
begin
    if kind in ('alert.created', 'alert.updated', 'alert.escalated')
       or split_part(kind, '.', 1) in ({reserved}){support}
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
"""

ANALYSTS = """
create function reads_as() returns text
language sql stable as $$ select coalesce(current_setting('waylight.reads_as', true), '') $$;

-- The middle of the cell of a fixed grid of about 50 m that a point lies in: [lon, lat]. As
-- `domain/geo.rounded`. One row is 50 m high, a cell of it as wide or a little wider; columns are
-- counted from the antimeridian anew in each row.
create function rounded_to_50_m(lon float8, lat float8) returns float8[]
language sql immutable strict parallel safe as $$
    with grid as (select degrees(50 / 6371008.8) as h),
    found as (
        select h, least(-90 + (least(floor((lat + 90) / h), ceil(180 / h) - 1) + 0.5) * h, 90)
            as middle
        from grid),
    columns as (
        select middle, greatest(floor(360 * cos(radians(middle)) / h), 1) as n from found)
    select array[
        round((-180 + (mod(floor((lon + 180) / 360 * n)::numeric, n::numeric)::float8 + 0.5)
               * 360 / n)::numeric, 6)::float8,
        round(middle::numeric, 6)::float8]
    from columns
$$;

-- What analysts read of a report: never exact, never a word, once its hour is over. One row for
-- each report, whatever the number of grants. It opens to nobody else.
create view analysed_reports with (security_barrier) as
    select g.report_id as id, date_trunc('hour', r.received_at, 'UTC') as received_hour,
           r.categories, r.happening, r.mode, r.priority,
           case when whole.is_full then
               rounded_to_50_m(st_x(r.position::geometry), st_y(r.position::geometry))
           end as position,
           case when whole.is_full and r.location_source <> 'point' and p.kind = 'station'
                then coalesce(p.stop_id, 'place:' || p.id) end as place_ref,
           case when whole.is_full and r.location_source <> 'point' and p.kind = 'station'
                then p.name end as place_name,
           coalesce(p.demo, false) as place_demo
    from grants g
    join reports r on r.id = g.report_id
    left join places p on p.id = r.place_id
    cross join lateral (
        select bool_or(o.level = 'full') as is_full from grants o
        where o.report_id = g.report_id and o.organisation_id = g.organisation_id
          and o.revoked_at is null) whole
    where g.organisation_id = acting_organisation() and g.revoked_at is null
      and reads_as() = 'analyst'
      and not r.exercise and not r.hoax and r.withdrawn_at is null
      and r.received_at < date_trunc('hour', now(), 'UTC')
      and not exists (
          select from grants o
          where o.report_id = g.report_id and o.organisation_id = g.organisation_id
            and o.revoked_at is null and o.cause < g.cause);
grant select on analysed_reports to waylight_staff;

-- Of the reports, those whose passenger knows already that this role of the organisation counted
-- them: whoever reads as an analyst sees no event.
create function told_of_analysis(reports uuid[], role text) returns setof uuid
language sql stable security definer set search_path = public, pg_temp as $$
    select e.report_id from events e
    where e.report_id = any (reports) and e.kind = 'report.analysed'
      and e.organisation_id = acting_organisation()
      and e.data->>'role' is not distinct from told_of_analysis.role
$$;

create function is_colleague(person uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from staff s where s.id = person and s.organisation_id = acting_organisation())
$$;
revoke execute on function told_of_analysis(uuid[], text), is_colleague(uuid) from public;
grant execute on function told_of_analysis(uuid[], text), is_colleague(uuid) to waylight_staff;

alter policy staff_tells_of_reading on events
    with check (organisation_id = (select acting_organisation())
                and kind in ('report.read', 'report.analysed')
                and alert_id is null and organisation_may_read(report_id)
                and is_colleague(staff_id));
"""

# What support workers write, apart from everything else, by keys of its own: one data key for each
# case. It is theirs who were given consent, and only while it holds.
SUPPORT = """
create table support_cases (
    id uuid primary key,
    report_id uuid not null,
    organisation_id uuid not null,
    opened_at timestamptz not null,
    opened_by uuid not null,
    key_version smallint not null,
    wrapped_key bytea,
    destroyed_at timestamptz,
    constraint ck_support_cases_destroyed_at
        check ((wrapped_key is null) = (destroyed_at is not null))
);
create unique index uq_support_cases_open on support_cases (report_id, organisation_id)
    where wrapped_key is not null;

create table support_notes (
    id uuid primary key,
    case_id uuid not null constraint fk_support_notes_case_id_support_cases
        references support_cases (id),
    organisation_id uuid not null,
    staff_id uuid not null,
    at timestamptz not null,
    note bytea not null
);
create index ix_support_notes_case_id on support_notes (case_id, id);

create function organisation_supports(report uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from grants g join organisations o on o.id = g.organisation_id
        where g.report_id = report and g.organisation_id = acting_organisation()
          and g.cause = 'consent' and g.revoked_at is null and o.kind = 'support_service')
$$;
revoke execute on function organisation_supports(uuid) from public;
grant execute on function organisation_supports(uuid) to waylight_staff;

alter table support_cases enable row level security;
alter table support_notes enable row level security;
grant select, insert on support_cases, support_notes to waylight_staff;
create policy staff_supports on support_cases to waylight_staff
    using ((select reads_as()) = 'support' and wrapped_key is not null
           and organisation_id = (select acting_organisation())
           and organisation_supports(report_id))
    with check ((select reads_as()) = 'support'
                and organisation_id = (select acting_organisation())
                and organisation_supports(report_id) and is_colleague(opened_by));
create policy staff_supports on support_notes to waylight_staff
    using ((select reads_as()) = 'support' and organisation_id = (select acting_organisation())
           and exists (select from support_cases c where c.id = case_id))
    with check ((select reads_as()) = 'support'
                and organisation_id = (select acting_organisation())
                and exists (select from support_cases c where c.id = case_id)
                and is_colleague(staff_id));

-- The intake, which serves passengers, wraps keys anew and destroys; it reads no note.
grant select, update (key_version, wrapped_key, destroyed_at) on support_cases to waylight_intake;
grant select (id, case_id), delete on support_notes to waylight_intake;
create policy intake_all on support_cases to waylight_intake using (true) with check (true);
create policy intake_all on support_notes to waylight_intake using (true) with check (true);

-- Without the key nobody ever reads what is left in a backup or the write-ahead log.
-- Returns the support services that had a case; their passenger is told.
create function destroy_support(report uuid, organisation uuid, at timestamptz) returns uuid[]
language plpgsql volatile as $$
declare
    gone uuid[];
    had uuid[];
begin
    with ended as (
        update support_cases c set wrapped_key = null, destroyed_at = destroy_support.at
        where c.report_id = report and c.organisation_id = coalesce(organisation, c.organisation_id)
          and c.wrapped_key is not null
        returning c.id, c.organisation_id)
    select coalesce(array_agg(id), '{}'), coalesce(array_agg(organisation_id), '{}')
    into gone, had from ended;
    delete from support_notes n where n.case_id = any (gone);
    insert into events (kind, at, city_id, organisation_id, report_id, exercise)
    select 'support.erased', destroy_support.at, r.city_id, o.id, r.id, r.exercise
    from unnest(had) o (id) join reports r on r.id = report;
    return had;
end
$$;
revoke execute on function destroy_support(uuid, uuid, timestamptz) from public;
grant execute on function destroy_support(uuid, uuid, timestamptz) to waylight_intake;
"""

FACTS = """
create or replace view report_facts with (security_barrier) as
    select id, incident_id, received_at, happening, age_s, happened_from, happened_to,
           happened_estimated, categories, perspective, in_danger, hurt_or_unwell, weapon_seen,
           person_nearby, under_18, wants, needs, language, mode, priority, urgency, severity,
           certainty, reasons, joined, exercise, withdrawn_at
    from reports where organisation_may_read(id){unless};
"""

# Whoever reads as an analyst finds nothing in these: no position, no word, no name, no address.
NOT_FOR_ANALYSTS = (
    "accounts",
    "addresses",
    "alerts",
    "check_ins",
    "deliveries",
    "delivery_attempts",
    "events",
    "hub_arrivals",
    "incident_notes",
    "incidents",
    "report_redactions",
    "report_secrets",
    "reports",
    "staff",
    "teams",
)


def upgrade() -> None:
    op.execute(GRANTS)
    op.execute(
        SAY.replace("{reserved}", "'delivery', 'routing', 'grant'").replace("{support}", SUPPORTING)
    )
    op.execute(ANALYSTS)
    op.execute(SUPPORT)
    op.execute(FACTS.replace("{unless}", " and reads_as() <> 'analyst'"))
    for table in NOT_FOR_ANALYSTS:
        op.execute(
            f"create policy no_analyst on {table} as restrictive for select to waylight_staff"
            " using ((select reads_as()) <> 'analyst')"
        )


def downgrade() -> None:
    for table in NOT_FOR_ANALYSTS:
        op.execute(f"drop policy no_analyst on {table}")
    op.execute(FACTS.replace("{unless}", ""))
    op.execute(
        "alter policy staff_tells_of_reading on events"
        " with check (organisation_id = (select acting_organisation()) and kind = 'report.read'"
        " and alert_id is null and organisation_may_read(report_id)"
        " and exists (select from staff s where s.id = staff_id));"
        "drop table support_notes, support_cases;"
        "drop function destroy_support(uuid, uuid, timestamptz), organisation_supports(uuid);"
        "drop view analysed_reports;"
        "drop function is_colleague(uuid), told_of_analysis(uuid[], text),"
        " rounded_to_50_m(float8, float8), reads_as()"
    )
    op.execute(SAY.replace("{reserved}", "'delivery', 'routing'").replace("{support}", ""))
    op.execute(
        "drop trigger grants_revocation on grants; drop trigger grants_consent on grants;"
        "drop table past_grants;"
        "drop function keep_grants(), tell_of_revocation(), tell_of_consent();"
        "alter table grants drop column revoked_by"
    )
