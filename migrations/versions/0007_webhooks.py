"""Webhooks: endpoints of partners that public events are sent to, and how far each was told.

Addresses are sealed like those of people: in many services of others the URL is the password.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WEBHOOKS = """
create table webhooks (
    id uuid primary key default uuid_v7(),
    organisation_id uuid not null references organisations,
    key_version smallint not null,
    wrapped_key bytea not null,
    url bytea not null,
    secret bytea not null,
    old_secret bytea,
    old_secret_until timestamptz,
    event_types text[] not null,
    description text not null,
    state text not null default 'active',
    starts_after bigint not null,
    failures integer not null default 0,
    failing_since timestamptz,
    rests_until timestamptz,
    last_delivered_at timestamptz,
    disabled_at timestamptz,
    disabled_reason text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version integer not null default 1,
    constraint ck_webhooks_state check (state in ('active', 'paused', 'disabled'))
);
create index ix_webhooks_organisation_id on webhooks (organisation_id, id);

-- How far events were looked at for all webhooks: one row, so that each is queued once.
create table webhook_cursor (
    one boolean primary key default true constraint ck_webhook_cursor_one check (one),
    last bigint not null
);
insert into webhook_cursor (last) select last from event_sequencer;

-- Each endpoint is claimed for itself: one that does not answer must not keep the others waiting.
create index ix_deliveries_webhook_due on deliveries
    (target_id, exercise, priority, next_attempt_at)
    where status = 'queued' and channel = 'webhook';
create index ix_deliveries_webhook_leased on deliveries (target_id)
    where channel = 'webhook' and leased_by is not null;
"""

ACCESS = """
grant select, insert, update, delete on webhooks to waylight_intake, waylight_staff;
grant select, update on webhook_cursor to waylight_intake;

-- Whoever begins a webhook says from which event on it is told; the number is all they learn.
create function last_event_number() returns bigint
language sql stable security definer set search_path = public, pg_temp as
    'select last from event_sequencer';
revoke execute on function last_event_number() from public;
grant execute on function last_event_number() to waylight_intake, waylight_staff;

alter table webhooks enable row level security;
create policy intake_all on webhooks to waylight_intake using (true) with check (true);
create policy staff_own on webhooks to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation()));

alter table webhook_cursor enable row level security;
create policy intake_all on webhook_cursor to waylight_intake using (true) with check (true);

create policy staff_own_webhooks on deliveries to waylight_staff
    using (channel = 'webhook' and exists (select from webhooks w where w.id = target_id))
    with check (channel = 'webhook' and alert_id is null and report_id is null
                and exists (select from webhooks w where w.id = target_id));
"""


def upgrade() -> None:
    op.execute(WEBHOOKS)
    op.execute(ACCESS)


def downgrade() -> None:
    op.execute(
        "drop policy staff_own_webhooks on deliveries;"
        "drop index ix_deliveries_webhook_leased, ix_deliveries_webhook_due;"
        "delete from deliveries where channel = 'webhook';"
        "drop function last_event_number();"
        "drop table webhook_cursor, webhooks"
    )
