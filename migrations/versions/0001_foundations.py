"""Roles, city data, people and keys.

Three database roles (design, D11): `waylight_owner` owns every table and runs migrations,
`waylight_intake` takes reports and runs the worker, `waylight_staff` serves signed-in staff and
is held to its own organisation by row-level security. `waylight migrate` lets them log in.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

CITIES = """
create table cities (
    id uuid primary key default uuid_v7(),
    slug text not null constraint uq_cities_slug unique,
    name text not null,
    country text not null,
    time_zone text not null,
    holidays jsonb not null,
    languages text[] not null,
    outline_code text not null,
    service_area_code text not null,
    control_room_id uuid,
    attribution text[] not null,
    jurisdiction jsonb not null,
    contacts jsonb not null,
    contacts_verified_at date,
    bounds double precision[] not null,
    pack_digest text not null,
    version bigint not null default 1,
    loaded_at timestamptz not null default now()
);

create table areas (
    id uuid primary key default uuid_v7(),
    city_id uuid not null references cities,
    code text not null,
    name text not null,
    kind text not null,
    demo boolean not null default false,
    geom geometry(MultiPolygon, 4326) not null,
    constraint uq_areas_city_id_code unique (city_id, code)
);

-- Containment of a point is asked on every report. Pieces of at most 128 vertices behind a GiST
-- index answer it; the 11,000-vertex outline as one polygon would be walked whole each time.
create table area_parts (
    area_id uuid not null references areas on delete cascade,
    part integer not null,
    geom geometry(Polygon, 4326) not null,
    primary key (area_id, part)
);
create index ix_area_parts_geom on area_parts using gist (geom);

create table places (
    id uuid primary key default uuid_v7(),
    city_id uuid not null references cities,
    key text not null,
    stop_id text,
    name text not null,
    source_name text not null,
    kind text not null,
    position geography(Point, 4326) not null,
    modes text[] not null,
    lines text[] not null,
    codes text[] not null,
    area_id uuid references areas,
    heading integer,
    demo boolean not null default false,
    constraint uq_places_city_id_key unique (city_id, key)
);
create index ix_places_position on places using gist (position);
create index ix_places_stop_id on places (stop_id);
create index ix_places_codes on places using gin (codes);
create index ix_places_name on places using gin (lower(name) gin_trgm_ops);
create index ix_places_kind_name on places (kind, name, id);

create table lines (
    city_id uuid not null references cities,
    line_id text not null,
    name text not null,
    mode text not null,
    primary key (city_id, line_id)
);

create table line_stops (
    city_id uuid not null,
    line_id text not null,
    sequence integer not null,
    place_id uuid not null references places,
    primary key (city_id, line_id, sequence),
    constraint fk_line_stops_lines foreign key (city_id, line_id) references lines
);
"""

ORGANISATIONS = """
create table organisations (
    id uuid primary key default uuid_v7(),
    city_id uuid not null references cities,
    key text not null,
    name text not null,
    kind text not null,
    contact jsonb not null default '{}',
    demo boolean not null default false,
    constraint uq_organisations_city_id_key unique (city_id, key)
);

create table teams (
    id uuid primary key default uuid_v7(),
    city_id uuid not null references cities,
    organisation_id uuid not null references organisations,
    key text not null,
    name text not null,
    kind text not null,
    base geography(Point, 4326) not null,
    capabilities text[] not null,
    shifts text not null,
    on_shift_during tstzmultirange,
    expanded_until timestamptz,
    duty_status text not null default 'available',
    duty_until timestamptz,
    position geography(Point, 4326),
    position_at timestamptz,
    version integer not null default 1,
    retired boolean not null default false,
    demo boolean not null default false,
    constraint uq_teams_city_id_key unique (city_id, key),
    constraint ck_teams_duty_status check (duty_status in ('available', 'busy', 'off'))
);
create index ix_teams_organisation_id on teams (organisation_id);
alter table cities add constraint fk_cities_control_room_id_teams
    foreign key (control_room_id) references teams deferrable initially deferred;

create table coverages (
    id uuid primary key default uuid_v7(),
    team_id uuid not null references teams on delete cascade,
    area_id uuid not null references areas on delete cascade,
    modes text[],
    routes text[],
    category_groups text[],
    schedule text,
    active_during tstzmultirange,
    expanded_until timestamptz
);
create index ix_coverages_area_id on coverages (area_id);
create index ix_coverages_team_id on coverages (team_id);

create table hubs (
    id uuid primary key default uuid_v7(),
    city_id uuid not null references cities,
    organisation_id uuid not null references organisations,
    key text not null,
    name text not null,
    kind text not null,
    mobile boolean not null default false,
    position geography(Point, 4326) not null,
    address text not null,
    opening_hours text not null,
    open_during tstzmultirange,
    expanded_until timestamptz,
    services text[] not null,
    access text[] not null,
    languages text[] not null,
    phone text,
    retired boolean not null default false,
    demo boolean not null default false,
    updated_at timestamptz not null default now(),
    constraint uq_hubs_city_id_key unique (city_id, key)
);
create index ix_hubs_position on hubs using gist (position);

create table staff (
    id uuid primary key default uuid_v7(),
    organisation_id uuid not null references organisations,
    name text not null,
    role text not null,
    demo boolean not null default false,
    created_at timestamptz not null default now()
);

create table api_keys (
    id uuid primary key default uuid_v7(),
    kind text not null,
    name text not null,
    token_hash bytea not null constraint uq_api_keys_token_hash unique,
    staff_id uuid references staff,
    organisation_id uuid references organisations,
    scopes text[] not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz,
    last_used_on date,
    -- A staff key without a person would make "seen by a person" a lie.
    constraint ck_api_keys_kind check (
        (kind = 'staff' and staff_id is not null and organisation_id is not null)
        or (kind = 'client' and staff_id is null)
    )
);

create table worker_heartbeats (
    worker_id text primary key,
    host text not null,
    pid integer not null,
    started_at timestamptz not null,
    beat_at timestamptz not null
);
"""

FUNCTIONS = """
-- RFC 9562 UUIDv7, method 3: 48 bits of Unix milliseconds, 12 bits of what is left of the
-- millisecond, then random bits. Rows written one after the other in one transaction keep their
-- order, which random bits alone would shuffle within a millisecond. PostgreSQL before 18 has none.
create function uuid_v7(at timestamptz default clock_timestamp()) returns uuid
language sql volatile parallel safe as $$
    select encode(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send(us / 1000) from 3)
                || int2send((28672 + (us % 1000) * 4096 / 1000)::int2)
        from 1 for 8), 'hex')::uuid
    from (select floor(extract(epoch from at) * 1000000)::bigint as us) since_1970
$$;

-- The smallest UUIDv7 of an instant: the bounds of the partitions.
create function uuid_v7_floor(at timestamptz) returns uuid
language sql immutable parallel safe as $$
    select (lpad(to_hex(floor(extract(epoch from at) * 1000)::bigint), 12, '0')
            || '00000000000000000000')::uuid
$$;

-- The organisation a staff connection acts for; null when nobody has signed in on it.
create function acting_organisation() returns uuid
language sql stable parallel safe as $$
    select nullif(current_setting('waylight.organisation_id', true), '')::uuid
$$;
"""

GRANTS = """
grant usage on schema public to waylight_intake, waylight_staff;
grant select on alembic_version to waylight_intake, waylight_staff;
grant select on cities, areas, area_parts, places, lines, line_stops, organisations, teams,
    coverages, hubs to waylight_intake, waylight_staff;
grant update (on_shift_during, expanded_until) on teams to waylight_intake;
grant update (active_during, expanded_until) on coverages to waylight_intake;
grant update (open_during, expanded_until) on hubs to waylight_intake;
grant update (duty_status, duty_until, version) on teams to waylight_staff;
grant select on api_keys, staff to waylight_intake;
grant update (last_used_on) on api_keys to waylight_intake;
grant select on staff to waylight_staff;
grant select, insert, update, delete on worker_heartbeats to waylight_intake;
grant select on worker_heartbeats to waylight_staff;

alter table teams enable row level security;
create policy intake_all on teams to waylight_intake using (true);
create policy staff_reads on teams for select to waylight_staff using (true);
create policy staff_runs_own on teams for update to waylight_staff
    using (organisation_id = (select acting_organisation()));
alter table staff enable row level security;
create policy intake_all on staff to waylight_intake using (true);
create policy staff_own on staff for select to waylight_staff
    using (organisation_id = (select acting_organisation()));
"""


def upgrade() -> None:
    op.execute("create extension if not exists postgis")
    op.execute("create extension if not exists pg_trgm")
    op.execute(FUNCTIONS)
    op.execute(CITIES)
    op.execute(ORGANISATIONS)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute(
        "alter table cities drop constraint fk_cities_control_room_id_teams;"
        "drop table worker_heartbeats, api_keys, staff, hubs, coverages, teams, organisations,"
        " line_stops, lines, places, area_parts, areas, cities;"
        "drop function acting_organisation(), uuid_v7_floor(timestamptz), uuid_v7(timestamptz)"
    )
