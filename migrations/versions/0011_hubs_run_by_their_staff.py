"""Hubs are run by their staff: overrides, versions, a moving position, and the log of arrivals.

An override ("closed until", "open until") is folded into `hubs.open_during` when it is set and at
every expansion, so that the reads of a submit and of the nearest hubs stay as they were. It has a
reason that only its organisation reads: a policy hides rows, not columns, hence a table of its own.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

HUBS = """
alter table hubs
    add column version integer not null default 1,
    add column position_at timestamptz,
    add column anchor geography(Point, 4326),
    add column moved_at timestamptz,
    add column edited text[] not null default '{}';

create table hub_overrides (
    id uuid primary key default uuid_v7(),
    hub_id uuid not null references hubs,
    organisation_id uuid not null references organisations,
    status text not null,
    starts_at timestamptz not null,
    ends_at timestamptz not null,
    reason text not null,
    set_by uuid not null references staff,
    end_told_at timestamptz,
    constraint ck_hub_overrides_status check (status in ('open', 'closed')),
    constraint ck_hub_overrides_ends_at check (ends_at >= starts_at)
);
create index ix_hub_overrides_hub_id on hub_overrides (hub_id, ends_at);
create index ix_hub_overrides_untold on hub_overrides (ends_at) where end_told_at is null;
"""

ARRIVALS = """
create table hub_arrivals (
    id uuid primary key default uuid_v7(),
    alert_id uuid not null,
    report_id uuid not null,
    hub_id uuid not null references hubs,
    organisation_id uuid not null references organisations,
    status text not null,
    at timestamptz not null,
    logged_at timestamptz not null,
    logged_by uuid not null references staff,
    constraint ck_hub_arrivals_status check (status in ('arrived', 'did_not_arrive', 'left_safely',
        'handed_to_police', 'handed_to_ambulance'))
);
create index ix_hub_arrivals_alert_id on hub_arrivals (alert_id, id);
create index ix_hub_arrivals_report_id on hub_arrivals (report_id);

-- When a walk to this hub was last looked at, and since when nobody is on it: told to go elsewhere,
-- or there by now. The index holds the walks that may still lead nowhere.
alter table alerts add column walk_checked_at timestamptz, add column walk_ended_at timestamptz;
create index ix_alerts_walks on alerts (id)
    where hub_id is not null and walk_ended_at is null
      and state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene', 'declined');

-- Whom an alert told of, whatever incident it and they belong to by now.
create index ix_events_told on events (alert_id)
    where kind in ('alert.created', 'alert.updated');
"""

ACCESS = """
grant select, delete on hub_overrides, hub_arrivals to waylight_intake;
grant update (end_told_at) on hub_overrides to waylight_intake;
grant update (address, opening_hours, services, access, languages, phone, position, position_at,
    anchor, moved_at, edited, open_during, expanded_until, version, updated_at)
    on hubs to waylight_staff;
grant select, insert on hub_overrides, hub_arrivals to waylight_staff;
grant update (ends_at, end_told_at) on hub_overrides to waylight_staff;

alter table hubs enable row level security;
create policy intake_all on hubs to waylight_intake using (true);
create policy staff_reads on hubs for select to waylight_staff using (true);
create policy staff_runs_own on hubs for update to waylight_staff
    using (organisation_id = (select acting_organisation()));

alter table hub_overrides enable row level security;
create policy intake_all on hub_overrides to waylight_intake using (true);
create policy staff_own on hub_overrides for select to waylight_staff
    using (organisation_id = (select acting_organisation()));
create policy staff_sets_own on hub_overrides for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and exists (select from staff s where s.id = set_by)
                and exists (select from hubs h where h.id = hub_id
                            and h.organisation_id = (select acting_organisation())));
create policy staff_ends_own on hub_overrides for update to waylight_staff
    using (organisation_id = (select acting_organisation()));

alter table hub_arrivals enable row level security;
create policy intake_all on hub_arrivals to waylight_intake using (true);
create policy staff_own on hub_arrivals for select to waylight_staff
    using (organisation_id = (select acting_organisation()));
-- Whom a hub expects is said by the events of its alert, which only the intake writes.
create policy staff_logs_own on hub_arrivals for insert to waylight_staff
    with check (organisation_id = (select acting_organisation())
                and exists (select from staff s where s.id = logged_by)
                and exists (select from alerts a where a.id = alert_id
                            and a.hub_id = hub_arrivals.hub_id
                            and a.organisation_id = (select acting_organisation()))
                and exists (select from events e
                            where e.report_id = hub_arrivals.report_id
                              and e.alert_id = hub_arrivals.alert_id
                              and e.kind in ('alert.created', 'alert.updated')));
"""


def upgrade() -> None:
    op.execute(HUBS)
    op.execute(ARRIVALS)
    op.execute(ACCESS)


def downgrade() -> None:
    op.execute(
        "drop index ix_events_told;"
        "drop index ix_alerts_walks;"
        "alter table alerts drop column walk_checked_at, drop column walk_ended_at;"
        "drop table hub_arrivals, hub_overrides;"
        "drop policy staff_runs_own on hubs; drop policy staff_reads on hubs;"
        "drop policy intake_all on hubs;"
        "alter table hubs disable row level security;"
        "revoke update (address, opening_hours, services, access, languages, phone, position,"
        " open_during, expanded_until, updated_at) on hubs from waylight_staff;"
        "alter table hubs drop column version, drop column position_at, drop column anchor,"
        " drop column moved_at, drop column edited"
    )
