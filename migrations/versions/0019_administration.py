"""What administrators run: coverages with shapes of their own, new teams and hubs, timetables.

`areas.organisation_id` is whose shape it is; null is the city's, out of its pack. `edited` names
what staff set of a row and a pack leaves alone, as on hubs: `coverages` are all rules of a team,
`retired` that staff say whether it is in use.
"""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = """
alter table areas add column organisation_id uuid references organisations;
create index ix_areas_organisation_id on areas (organisation_id)
    where organisation_id is not null;

alter table coverages
    add column version integer not null default 1,
    add column created_by uuid references staff,
    add column updated_at timestamptz not null default now();

alter table teams add column edited text[] not null default '{}';

alter table organisations
    add column edited text[] not null default '{}',
    add column version integer not null default 1,
    add column escalation jsonb,
    -- The second lock on the bounds of domain/alerts/ladder: whoever writes here, nobody's ladder
    -- stands still.
    add constraint ck_organisations_escalation check (
        escalation is null or (
            jsonb_typeof(escalation) = 'object'
            and escalation - '{1,2,3}'::text[] = '{}'
            and coalesce((escalation->>'1')::numeric between 20 and 90, true)
            and coalesce((escalation->>'2')::numeric between 60 and 300, true)
            and coalesce((escalation->>'3')::numeric between 120 and 1800, true)));
"""

FUNCTIONS = """
-- Whether a team is one of the caller's organisation, or stands in a city that it watches over.
create function organisation_runs_team(team uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (select from teams t
                   where t.id = team and t.organisation_id = acting_organisation())
$$;
create function organisation_watches_city(city uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (select from cities c join teams room on room.id = c.control_room_id
                   where c.id = city and room.organisation_id = acting_organisation())
$$;
-- What every process remembers of a city is read again: the modes that its teams cover are in it.
create function renew_city(team uuid) returns void
language sql volatile security definer set search_path = public, pg_temp as $$
    update cities c set version = c.version + 1
    from teams t where t.id = team and t.organisation_id = acting_organisation()
        and c.id = t.city_id
$$;
revoke execute on function organisation_runs_team(uuid), organisation_watches_city(uuid),
    renew_city(uuid) from public;
grant execute on function organisation_runs_team(uuid), organisation_watches_city(uuid),
    renew_city(uuid) to waylight_staff;
"""

ACCESS = """
grant update (name, contact, edited, version, escalation) on organisations to waylight_staff;
alter table organisations enable row level security;
create policy intake_all on organisations to waylight_intake using (true);
create policy staff_reads on organisations for select to waylight_staff using (true);
create policy staff_runs_own on organisations for update to waylight_staff
    using (id = (select acting_organisation()));

grant select (edited) on teams to waylight_staff;
grant insert (id, city_id, organisation_id, key, name, kind, base, capabilities, shifts, edited)
    on teams to waylight_staff;
grant update (name, base, retired, edited) on teams to waylight_staff;
-- Never a control room, and never in a city where the organisation is not at home.
create policy staff_founds on teams for insert to waylight_staff
    with check (organisation_id = (select acting_organisation()) and kind = 'field'
                and city_id = (select o.city_id from organisations o
                               where o.id = (select acting_organisation())));
-- A city without its control room would have nobody to fall back on.
alter policy staff_runs_own on teams
    with check (organisation_id = (select acting_organisation())
                and not (retired and exists (select from cities c
                                             where c.control_room_id = teams.id)));

grant insert (id, city_id, organisation_id, key, name, kind, mobile, position, address,
    opening_hours, services, access, languages, phone, edited, updated_at)
    on hubs to waylight_staff;
grant update (name, kind, retired) on hubs to waylight_staff;
create policy staff_founds on hubs for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and city_id = (select o.city_id from organisations o
                               where o.id = (select acting_organisation())));

grant insert, delete on areas to waylight_staff;
alter table areas enable row level security;
create policy intake_all on areas to waylight_intake using (true);
-- The city's areas are for everybody; which streets an organisation watches is its own affair.
create policy staff_reads on areas for select to waylight_staff
    using (organisation_id is null or organisation_id = (select acting_organisation())
           or organisation_watches_city(city_id));
create policy staff_draws_own on areas for insert to waylight_staff
    with check (organisation_id = (select acting_organisation()) and kind = 'coverage'
                and city_id = (select o.city_id from organisations o
                               where o.id = (select acting_organisation())));
create policy staff_rubs_out_own on areas for delete to waylight_staff
    using (organisation_id = (select acting_organisation()) and kind = 'coverage');

grant insert, delete on area_parts to waylight_staff;
alter table area_parts enable row level security;
create policy intake_all on area_parts to waylight_intake using (true);
create policy staff_reads on area_parts for select to waylight_staff
    using (exists (select from areas a where a.id = area_id));
create policy staff_cuts_own on area_parts for insert to waylight_staff
    with check (exists (select from areas a where a.id = area_id and a.kind = 'coverage'
                        and a.organisation_id = (select acting_organisation())));
create policy staff_rubs_out_own on area_parts for delete to waylight_staff
    using (exists (select from areas a where a.id = area_id and a.kind = 'coverage'
                   and a.organisation_id = (select acting_organisation())));

grant insert, delete on coverages to waylight_staff;
grant update (area_id, modes, routes, category_groups, schedule, active_during, expanded_until,
    version, updated_at) on coverages to waylight_staff;
alter table coverages enable row level security;
create policy intake_all on coverages to waylight_intake using (true);
create policy staff_reads on coverages for select to waylight_staff
    using (exists (select from teams t where t.id = team_id
                   and (t.organisation_id = (select acting_organisation())
                        or organisation_watches_city(t.city_id))));
-- An area of the city, or one's own: with another's shape one would learn where that lies.
create policy staff_runs_own on coverages to waylight_staff
    using (organisation_runs_team(team_id))
    with check (organisation_runs_team(team_id)
                and exists (select from areas a join teams t on t.city_id = a.city_id
                            where a.id = area_id and t.id = team_id
                              and (a.organisation_id is null
                                   or a.organisation_id = (select acting_organisation())))
                and (created_by is null or exists (select from staff s where s.id = created_by)));
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    op.execute(ACCESS)


def downgrade() -> None:
    op.execute(
        "drop policy staff_runs_own on coverages; drop policy staff_reads on coverages;"
        "drop policy intake_all on coverages; alter table coverages disable row level security;"
        "drop policy staff_rubs_out_own on area_parts; drop policy staff_cuts_own on area_parts;"
        "drop policy staff_reads on area_parts; drop policy intake_all on area_parts;"
        "alter table area_parts disable row level security;"
        "drop policy staff_rubs_out_own on areas;"
        "drop policy staff_draws_own on areas; drop policy staff_reads on areas;"
        "drop policy intake_all on areas; alter table areas disable row level security;"
        "drop policy staff_founds on hubs; drop policy staff_founds on teams;"
        # A policy's check cannot be taken away, only the policy.
        "drop policy staff_runs_own on teams;"
        "create policy staff_runs_own on teams for update to waylight_staff"
        " using (organisation_id = (select acting_organisation()));"
        "drop policy staff_runs_own on organisations; drop policy staff_reads on organisations;"
        "drop policy intake_all on organisations;"
        "alter table organisations disable row level security;"
        "revoke insert, update, delete on coverages, areas, area_parts, organisations"
        " from waylight_staff;"
        "revoke insert on teams, hubs from waylight_staff;"
        "revoke update (name, base, retired) on teams from waylight_staff;"
        "revoke update (name, kind, retired) on hubs from waylight_staff;"
        "drop function organisation_runs_team(uuid), organisation_watches_city(uuid),"
        " renew_city(uuid);"
        # What staff drew is known to nobody before this.
        "delete from areas where organisation_id is not null;"
        "alter table areas drop column organisation_id;"
        "alter table coverages drop column version, drop column created_by,"
        " drop column updated_at;"
        "alter table teams drop column edited;"
        "alter table organisations drop column edited, drop column version,"
        " drop column escalation"
    )
