"""Reports, incidents, alerts, deliveries, events, grants and the audit log.

Tables that grow without end are range-partitioned by a UUIDv7, so a month is one partition and
old months leave without a long delete. No foreign key points at a partitioned table: one database
function writes these rows together, and a reference would make dropping an old partition a scan.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PARTITIONED = ("reports", "report_secrets", "alerts", "deliveries", "events", "grants")

REPORTS = """
create table reports (
    id uuid not null,
    city_id uuid,
    received_at timestamptz not null,
    recorded_at timestamptz,
    happened_from timestamptz,
    happened_to timestamptz,
    happened_estimated boolean not null,
    happening text not null,
    age_s integer not null,
    categories text[] not null,
    category_groups text[] not null,
    perspective text not null,
    in_danger boolean,
    hurt_or_unwell boolean,
    weapon_seen boolean,
    person_nearby boolean,
    under_18 boolean,
    wants text[] not null,
    needs text[] not null,
    share_with text[] not null,
    language text,
    position geography(Point, 4326),
    radius_m double precision,
    location_source text not null,
    location_method text,
    fixed_at timestamptz,
    place_id uuid,
    area_id uuid,
    cell_r7 bigint,
    cell_r9 bigint,
    mode text,
    route_id text,
    direction text,
    vehicle_id text,
    carriage text,
    boarded_stop_id text,
    next_stop_id text,
    priority smallint not null,
    urgency text not null,
    severity text not null,
    certainty text not null,
    reasons jsonb not null,
    routing jsonb not null,
    warnings jsonb not null,
    status text not null,
    incident_id uuid,
    joined boolean not null default false,
    linked_report_id uuid,
    client_id uuid,
    exercise boolean not null,
    hoax boolean not null default false,
    withdrawn_at timestamptz,
    held boolean not null default false,
    primary key (id),
    constraint ck_reports_priority check (priority between 1 and 4),
    constraint ck_reports_status check (status in ('routed', 'recorded', 'unrouted'))
) partition by range (id);
create index ix_reports_incident_id on reports (incident_id);
create index ix_reports_unrouted on reports (id) where status = 'unrouted';

-- Ciphertexts live apart from the facts they belong to: erasing `wrapped_key` erases the story.
create table report_secrets (
    report_id uuid not null,
    key_version smallint not null,
    wrapped_key bytea,
    narrative bytea,
    description_of_person bytea,
    contact bytea,
    location_description bytea,
    rejected bytea,
    primary key (report_id)
) partition by range (report_id);

create table receipts (
    hash bytea primary key,
    report_id uuid not null,
    key_version smallint not null,
    created_at timestamptz not null
);
create index ix_receipts_report_id on receipts (report_id);

create table idempotency_keys (
    key_hash bytea not null,
    fingerprint bytea not null,
    report_id uuid not null,
    answer jsonb not null,
    outcome jsonb,
    created_at timestamptz not null,
    primary key (key_hash, fingerprint)
);
create index ix_idempotency_keys_created_at on idempotency_keys (created_at);
"""

INCIDENTS = """
create table incidents (
    id uuid primary key default uuid_v7(),
    city_id uuid,
    category_groups text[] not null,
    audience text not null,
    exercise boolean not null,
    position geography(Point, 4326),
    vehicle text,
    opened_at timestamptz not null,
    last_at timestamptz not null,
    priority smallint not null,
    report_count integer not null default 1,
    state text not null default 'open',
    held_by_alert_id uuid,
    escalate_at timestamptz,
    rung integer not null default 1,
    restarted_at timestamptz,
    unanswered_at timestamptz,
    closed_at timestamptz,
    version integer not null default 1,
    constraint ck_incidents_state check (state in ('open', 'closed'))
);
create index ix_incidents_position on incidents using gist (position) where state = 'open';
create index ix_incidents_vehicle on incidents (vehicle) where state = 'open';
create index ix_incidents_escalate_at on incidents (escalate_at) where escalate_at is not null;

create table alerts (
    id uuid not null default uuid_v7(),
    incident_id uuid not null,
    report_id uuid not null,
    city_id uuid,
    organisation_id uuid not null,
    team_id uuid,
    hub_id uuid,
    role text not null,
    rank smallint not null,
    state text not null default 'pending',
    priority smallint not null,
    distance_m integer,
    reasons jsonb not null,
    exercise boolean not null,
    created_at timestamptz not null,
    delivered_at timestamptz,
    seen_at timestamptz,
    acknowledged_at timestamptz,
    acknowledged_by uuid,
    ended_at timestamptz,
    outcome text,
    version integer not null default 1,
    primary key (id),
    constraint ck_alerts_recipient check ((team_id is null) <> (hub_id is null)),
    constraint ck_alerts_state check (state in ('pending', 'delivered', 'acknowledged', 'en_route',
        'on_scene', 'closed', 'declined', 'expired', 'withdrawn'))
) partition by range (id);
create index ix_alerts_incident_id on alerts (incident_id);
create index ix_alerts_report_id on alerts (report_id);
create index ix_alerts_team_id on alerts (team_id, id desc);
create index ix_alerts_organisation_id on alerts (organisation_id, id desc);
create index ix_alerts_live on alerts (organisation_id, id desc)
    where state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene');

create table deliveries (
    id uuid not null default uuid_v7(),
    alert_id uuid not null,
    report_id uuid not null,
    channel text not null,
    message text not null,
    priority smallint not null,
    exercise boolean not null,
    status text not null default 'queued',
    attempts smallint not null default 0,
    next_attempt_at timestamptz,
    leased_until timestamptz,
    leased_by text,
    created_at timestamptz not null,
    attempted_at timestamptz,
    sent_at timestamptz,
    delivered_at timestamptz,
    outcome text,
    detail text,
    primary key (id),
    constraint ck_deliveries_status check (status in ('queued', 'sent', 'delivered', 'seen',
        'failed', 'dropped'))
) partition by range (id);
create index ix_deliveries_due on deliveries (priority, next_attempt_at) where status = 'queued';
create index ix_deliveries_alert_id on deliveries (alert_id);

create table events (
    id uuid not null default uuid_v7(),
    sequence bigint,
    kind text not null,
    at timestamptz not null,
    city_id uuid,
    organisation_id uuid,
    report_id uuid,
    incident_id uuid,
    alert_id uuid,
    staff_id uuid,
    data jsonb not null default '{}',
    exercise boolean not null default false,
    primary key (id)
) partition by range (id);
create index ix_events_unsequenced on events (id) where sequence is null;
create index ix_events_sequence on events (sequence) where sequence is not null;
create index ix_events_report_id on events (report_id, id);
create index ix_events_incident_id on events (incident_id, id);

-- One row: the last number given. Numbers drawn inside transactions commit out of order, and a
-- reader that has seen 8 would never come back for 7.
create table event_sequencer (
    one boolean primary key default true constraint ck_event_sequencer_one check (one),
    last bigint not null
);
insert into event_sequencer (last) values (0);

create table grants (
    report_id uuid not null,
    organisation_id uuid not null,
    cause text not null,
    level text not null,
    created_at timestamptz not null,
    created_by text not null,
    revoked_at timestamptz,
    primary key (report_id, organisation_id, cause),
    constraint ck_grants_cause check (cause in ('routing', 'consent', 'hand_over', 'oversight')),
    constraint ck_grants_level check (level in ('full', 'heads_up'))
) partition by range (report_id);
create index ix_grants_organisation_id on grants (organisation_id, report_id);

create table audit_entries (
    id uuid primary key default uuid_v7(),
    at timestamptz not null,
    staff_id uuid not null,
    organisation_id uuid not null,
    action text not null,
    report_id uuid,
    incident_id uuid,
    alert_id uuid,
    request_id text
);
create index ix_audit_entries_organisation_id on audit_entries (organisation_id, id desc);
create index ix_audit_entries_report_id on audit_entries (report_id, id);
"""

FUNCTIONS = """
-- Makes the monthly partitions of one table from the current month to `ahead` months later.
-- Runs as its owner, so that the worker can call it without owning any table, and in UTC: a month
-- added to an instant in another zone ends on another day, and bounds would overlap.
create function make_partitions(parent text, ahead integer) returns integer
language plpgsql security definer set search_path = public, pg_temp set timezone = 'UTC' as $$
declare
    month timestamptz;
    child text;
    made integer := 0;
begin
    if parent not in ('reports', 'report_secrets', 'alerts', 'deliveries', 'events', 'grants') then
        raise exception 'not a partitioned table: %', parent;
    end if;
    for month in
        select date_trunc('month', now(), 'UTC') + make_interval(months => n)
        from generate_series(0, ahead) n
    loop
        child := format('%s_%s', parent, to_char(month at time zone 'UTC', 'YYYY_MM'));
        if to_regclass(child) is null then
            execute format(
                'create table %I partition of %I for values from (%L) to (%L)', child, parent,
                uuid_v7_floor(month),
                uuid_v7_floor(date_trunc('month', month + interval '32 days', 'UTC')));
            execute format('alter table %I enable row level security', child);
            made := made + 1;
        end if;
    end loop;
    return made;
end
$$;
revoke execute on function make_partitions(text, integer) from public;
grant execute on function make_partitions(text, integer) to waylight_intake;

create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;
create trigger audit_entries_append_only before update or delete or truncate on audit_entries
    for each statement execute function refuse_change();
"""

# A policy that asked `alerts` about `alerts` would recurse; these ask as the owner instead.
ACCESS = """
create function organisation_is_told(incident uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from alerts where incident_id = incident and organisation_id = acting_organisation()
    )
$$;
revoke execute on function organisation_is_told(uuid) from public;
grant execute on function organisation_is_told(uuid) to waylight_staff;

-- A hub is told to expect somebody: it has no part in the incident, which is its teams' to answer.
create function organisation_acts_on(incident uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from alerts where incident_id = incident and team_id is not null
          and organisation_id = acting_organisation()
    )
$$;
revoke execute on function organisation_acts_on(uuid) from public;
grant execute on function organisation_acts_on(uuid) to waylight_staff;

create function organisation_oversees(incident uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from reports r join grants g on g.report_id = r.id
        where r.incident_id = incident and g.organisation_id = acting_organisation()
          and g.cause = 'oversight' and g.revoked_at is null
    )
$$;
revoke execute on function organisation_oversees(uuid) from public;
grant execute on function organisation_oversees(uuid) to waylight_staff;

create function organisation_may_read(report uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from grants where report_id = report and organisation_id = acting_organisation()
          and revoked_at is null
    )
$$;
revoke execute on function organisation_may_read(uuid) from public;
grant execute on function organisation_may_read(uuid) to waylight_staff;

create function organisation_may_read_story(report uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from grants where report_id = report and organisation_id = acting_organisation()
          and revoked_at is null and level = 'full'
    )
$$;
revoke execute on function organisation_may_read_story(uuid) from public;
grant execute on function organisation_may_read_story(uuid) to waylight_staff;

grant select, insert, update on reports, report_secrets, incidents, alerts, deliveries, events,
    grants, event_sequencer to waylight_intake;
grant select, insert on receipts to waylight_intake;
grant select, insert, update, delete on idempotency_keys to waylight_intake;
grant select on audit_entries to waylight_intake;

grant select on reports, report_secrets, incidents, alerts, deliveries, events, grants,
    audit_entries to waylight_staff;
grant update (state, delivered_at, seen_at, acknowledged_at, acknowledged_by, ended_at, outcome,
    version) on alerts to waylight_staff;
grant update (held_by_alert_id, escalate_at, unanswered_at, state, closed_at, version)
    on incidents to waylight_staff;
grant update (status, next_attempt_at, delivered_at) on deliveries to waylight_staff;
grant insert on events, audit_entries to waylight_staff;

create policy intake_all on reports to waylight_intake using (true) with check (true);
create policy intake_all on report_secrets to waylight_intake using (true) with check (true);
create policy intake_all on incidents to waylight_intake using (true) with check (true);
create policy intake_all on alerts to waylight_intake using (true) with check (true);
create policy intake_all on deliveries to waylight_intake using (true) with check (true);
create policy intake_all on events to waylight_intake using (true) with check (true);
create policy intake_all on grants to waylight_intake using (true) with check (true);
create policy intake_all on receipts to waylight_intake using (true) with check (true);
create policy intake_all on idempotency_keys to waylight_intake using (true) with check (true);
create policy intake_reads on audit_entries for select to waylight_intake using (true);

create policy staff_granted on reports for select to waylight_staff
    using (organisation_may_read_story(id));

-- What a heads-up may know: what happened, never where, nor who else was told. A policy hides rows,
-- not columns; this view belongs to the owner, whom no policy binds, and asks for the grant itself.
create view report_facts with (security_barrier) as
    select id, incident_id, received_at, happening, age_s, happened_from, happened_to,
           happened_estimated, categories, perspective, in_danger, hurt_or_unwell, weapon_seen,
           person_nearby, under_18, wants, needs, language, mode, priority, urgency, severity,
           certainty, reasons, joined, exercise, withdrawn_at
    from reports where organisation_may_read(id);
grant select on report_facts to waylight_staff;
create policy staff_granted on report_secrets for select to waylight_staff
    using (organisation_may_read_story(report_id));
create policy staff_told on incidents for select to waylight_staff
    using (organisation_is_told(id) or organisation_oversees(id));
create policy staff_acts on incidents for update to waylight_staff
    using (organisation_acts_on(id));
create policy staff_told on alerts for select to waylight_staff
    using (organisation_id = (select acting_organisation())
           or organisation_acts_on(incident_id) or organisation_oversees(incident_id));
create policy staff_acts on alerts for update to waylight_staff
    using (organisation_id = (select acting_organisation()) or organisation_acts_on(incident_id));
create policy staff_told on deliveries for select to waylight_staff
    using (exists (select from alerts a where a.id = alert_id));
create policy staff_acts on deliveries for update to waylight_staff
    using (exists (select from alerts a where a.id = alert_id
                   and (a.organisation_id = (select acting_organisation())
                        or organisation_acts_on(a.incident_id))));
create policy staff_told on events for select to waylight_staff
    using (organisation_id = (select acting_organisation())
           or organisation_acts_on(incident_id) or organisation_oversees(incident_id));
create policy staff_acts on events for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and (incident_id is null and report_id is null
                     or organisation_acts_on(incident_id)
                     or exists (select from alerts a where a.id = alert_id
                                and a.organisation_id = (select acting_organisation())
                                and a.incident_id = events.incident_id)));
create policy staff_own on grants for select to waylight_staff
    using (organisation_id = (select acting_organisation()));
create policy staff_writes on audit_entries for insert to waylight_staff
    with check (organisation_id = (select acting_organisation()));
create policy staff_own on audit_entries for select to waylight_staff
    using (organisation_id = (select acting_organisation()));
"""

LOCKED = (*PARTITIONED, "incidents", "receipts", "idempotency_keys", "audit_entries")


def upgrade() -> None:
    op.execute(REPORTS)
    op.execute(INCIDENTS)
    op.execute(FUNCTIONS)
    for table in LOCKED:
        op.execute(f"alter table {table} enable row level security")
    op.execute(ACCESS)
    for table in PARTITIONED:
        op.execute(f"create table {table}_default partition of {table} default")
        op.execute(f"alter table {table}_default enable row level security")
        op.execute(f"select make_partitions('{table}', 3)")


def downgrade() -> None:
    op.execute(
        "drop view report_facts;"
        "drop table audit_entries, grants, event_sequencer, events, deliveries, alerts, incidents,"
        " idempotency_keys, receipts, report_secrets, reports;"
        "drop function organisation_may_read_story(uuid), organisation_may_read(uuid),"
        " organisation_oversees(uuid), organisation_acts_on(uuid), organisation_is_told(uuid),"
        " refuse_change(),"
        " make_partitions(text, integer)"
    )
