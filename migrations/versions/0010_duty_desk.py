"""The duty desk: shifts that staff set, where a team is, what it can do, and lone workers.

What a city pack says of a team's hours and capabilities stays in `teams.shifts` and
`teams.capabilities`; what its staff set instead is beside it, where no pack load reaches it.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TEAMS = """
alter table teams
    add column staff_capabilities jsonb,
    add column position_accuracy_m real,
    -- A position comes every 10 to 30 seconds: the new version of the row fits on the same page,
    -- and no index is written.
    set (fillfactor = 50);

create table shifts (
    id uuid primary key default uuid_v7(),
    team_id uuid not null references teams,
    kind text not null,
    rule text,
    starts_at timestamptz,
    ends_at timestamptz,
    name text,
    created_by uuid,
    created_at timestamptz not null,
    version integer not null default 1,
    constraint ck_shifts_kind check (kind in ('recurring', 'extra', 'cancelled')),
    constraint ck_shifts_when check (
        case kind when 'recurring' then rule is not null and starts_at is null and ends_at is null
        else rule is null and starts_at is not null and ends_at is not null
             and starts_at < ends_at end)
);
create index ix_shifts_team_id on shifts (team_id, id);
"""

ALERTS = """
alter table alerts add column off_duty_at timestamptz;
-- A team on its way to one incident is asked last about another. Every submit asks, for each team:
-- of a small table by itself, for the partitions of `alerts` would cost it as much as all else.
create table engagements (
    alert_id uuid primary key,
    team_id uuid not null references teams,
    incident_id uuid not null,
    exercise boolean not null,
    since timestamptz not null
);
create index ix_engagements_team_id on engagements (team_id);

-- Whoever changes an alert, by whatever way: its team is at work, or no longer.
create function keep_engagement() returns trigger
language plpgsql security definer set search_path = public, pg_temp as $$
begin
    if new.team_id is not null and new.state in ('en_route', 'on_scene') then
        insert into engagements (alert_id, team_id, incident_id, exercise, since)
        values (new.id, new.team_id, new.incident_id, new.exercise, new.created_at)
        on conflict (alert_id) do update
            set team_id = excluded.team_id, incident_id = excluded.incident_id;
    else
        delete from engagements where alert_id = new.id;
    end if;
    return null;
end
$$;
revoke execute on function keep_engagement() from public;
create trigger alerts_keep_engagement
    after update of state, incident_id, team_id on alerts for each row
    when (old.state is distinct from new.state or old.incident_id is distinct from new.incident_id
          or old.team_id is distinct from new.team_id)
    execute function keep_engagement();
insert into engagements (alert_id, team_id, incident_id, exercise, since)
select id, team_id, incident_id, exercise, created_at from alerts
where team_id is not null and state in ('en_route', 'on_scene');

-- The alert of the responder who did not check in, of an incident that is about a colleague. No
-- report belongs to it, no report joins it, and its ladder never climbs.
alter table incidents add column about_alert_id uuid;
"""

CHECK_INS = """
create table check_in_defaults (
    organisation_id uuid primary key references organisations,
    due_in_s integer,
    version integer not null default 1,
    updated_by uuid,
    updated_at timestamptz not null
);

create table check_ins (
    alert_id uuid primary key,
    incident_id uuid not null,
    team_id uuid not null,
    organisation_id uuid not null,
    city_id uuid,
    staff_id uuid,
    exercise boolean not null,
    due_in_s integer not null,
    started_at timestamptz not null,
    checked_in_at timestamptz not null,
    due_at timestamptz not null,
    next_at timestamptz,
    overdue_at timestamptz,
    overdue_incident_id uuid,
    raised integer not null default 0,
    ended_at timestamptz
);
create index ix_check_ins_next_at on check_ins (next_at) where next_at is not null;
create index ix_check_ins_incident_id on check_ins (incident_id);
"""

# A policy hides rows, not columns, and every organisation may know which teams there are. Where a
# team is right now is for its own organisation and for whoever watches over its city.
POSITIONS = """
revoke select on teams from waylight_staff;
grant select (id, city_id, organisation_id, key, name, kind, base, capabilities,
    staff_capabilities, shifts, on_shift_during, expanded_until, duty_status, duty_until, version,
    retired, demo) on teams to waylight_staff;

create function place_of_team(team uuid, out place geography, out fixed_at timestamptz,
                              out accuracy_m real)
language sql stable security definer set search_path = public, pg_temp as $$
    select t.position, t.position_at, t.position_accuracy_m from teams t
    where t.id = team
      and (t.organisation_id = acting_organisation() or exists (
          select from cities c join teams room on room.id = c.control_room_id
          where c.id = t.city_id and room.organisation_id = acting_organisation()))
$$;

-- Puts a team of the caller's organisation where it is; false when what is known is newer. One
-- known from the time to come was written while a clock was wrong, and gives way.
create function move_team(team uuid, place geography, fixed_at timestamptz, accuracy_m real,
                          at timestamptz) returns boolean
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    update teams t set position = place, position_at = fixed_at, position_accuracy_m = accuracy_m
    where t.id = team and t.organisation_id = acting_organisation()
      and coalesce(t.position_at < fixed_at or t.position_at > at, true);
    return found;
end
$$;
revoke execute on function place_of_team(uuid),
    move_team(uuid, geography, timestamptz, real, timestamptz) from public;
grant execute on function place_of_team(uuid),
    move_team(uuid, geography, timestamptz, real, timestamptz) to waylight_staff;
"""

RIGHTS = """
grant update (staff_capabilities, position, position_at, position_accuracy_m, on_shift_during,
    expanded_until) on teams to waylight_staff;
grant update (position, position_at, position_accuracy_m) on teams to waylight_intake;

grant select on shifts to waylight_intake, waylight_staff;
grant delete on shifts to waylight_intake;
grant insert, update, delete on shifts to waylight_staff;
alter table shifts enable row level security;
create policy intake_all on shifts to waylight_intake using (true);
create policy staff_reads on shifts for select to waylight_staff
    using (exists (
        select from teams t where t.id = team_id
          and (t.organisation_id = (select acting_organisation()) or exists (
              select from cities c join teams room on room.id = c.control_room_id
              where c.id = t.city_id and room.organisation_id = (select acting_organisation())))));
create policy staff_runs_own on shifts to waylight_staff
    using (exists (select from teams t where t.id = team_id
                   and t.organisation_id = (select acting_organisation())))
    with check (exists (select from teams t where t.id = team_id
                        and t.organisation_id = (select acting_organisation())));

grant update (off_duty_at) on alerts to waylight_intake;

grant select on engagements to waylight_intake;
grant select on engagements to waylight_staff;
alter table engagements enable row level security;
create policy intake_all on engagements to waylight_intake using (true);
create policy staff_reads on engagements for select to waylight_staff
    using (exists (
        select from teams t where t.id = team_id
          and (t.organisation_id = (select acting_organisation()) or exists (
              select from cities c join teams room on room.id = c.control_room_id
              where c.id = t.city_id and room.organisation_id = (select acting_organisation())))));

grant select on check_in_defaults to waylight_intake, waylight_staff;
grant insert, update on check_in_defaults to waylight_staff;
alter table check_in_defaults enable row level security;
create policy intake_all on check_in_defaults to waylight_intake using (true);
create policy staff_own on check_in_defaults to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation()));

-- What runs out, and the incident that is raised then, are the worker's to write.
grant select, update on check_ins to waylight_intake;
grant select, insert (alert_id, incident_id, team_id, organisation_id, city_id, staff_id, exercise,
    due_in_s, started_at, checked_in_at, due_at, next_at), update (staff_id, due_in_s, started_at,
    checked_in_at, due_at, next_at, ended_at) on check_ins to waylight_staff;
alter table check_ins enable row level security;
create policy intake_all on check_ins to waylight_intake using (true) with check (true);
create policy staff_told on check_ins for select to waylight_staff
    using (organisation_id = (select acting_organisation())
           or organisation_oversees(incident_id) or organisation_acts_on(overdue_incident_id));
create policy staff_runs_own on check_ins to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation())
                and (staff_id is null or exists (select from staff s where s.id = staff_id))
                and exists (
                    select from alerts a
                    where a.id = check_ins.alert_id and a.team_id = check_ins.team_id
                      and a.incident_id = check_ins.incident_id
                      and a.organisation_id = check_ins.organisation_id
                      and a.city_id is not distinct from check_ins.city_id
                      and a.exercise = check_ins.exercise));
"""


def upgrade() -> None:
    op.execute(TEAMS)
    op.execute(ALERTS)
    op.execute(CHECK_INS)
    op.execute(POSITIONS)
    op.execute(RIGHTS)


def downgrade() -> None:
    op.execute(
        "drop table check_ins, check_in_defaults, shifts;"
        "drop trigger alerts_keep_engagement on alerts;"
        "drop function keep_engagement();"
        "drop table engagements;"
        "alter table incidents drop column about_alert_id;"
        "alter table alerts drop column off_duty_at;"
        "drop function move_team(uuid, geography, timestamptz, real, timestamptz),"
        " place_of_team(uuid);"
        "revoke select on teams from waylight_staff;"
        "grant select on teams to waylight_staff;"
        "revoke update (on_shift_during, expanded_until, position, position_at) on teams"
        " from waylight_staff;"
        "revoke update (position, position_at) on teams from waylight_intake;"
        "alter table teams reset (fillfactor), drop column position_accuracy_m,"
        " drop column staff_capabilities"
    )
