"""Drills: kept with what they found, and their messages apart from the real ones in the queue."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

DRILLS = """
create table drills (
    id uuid primary key default uuid_v7(),
    city_id uuid references cities,
    scheduled_for timestamptz,
    level text not null,
    started_at timestamptz not null,
    ends_at timestamptz not null,
    ended_at timestamptz,
    rungs jsonb not null,
    told integer not null,
    reached integer,
    constraint ck_drills_level check (level in ('sent', 'delivered', 'seen', 'acknowledged'))
);
-- However many workers look at the clock: one drill for each time of the schedule.
create unique index uq_drills_scheduled_for on drills (city_id, scheduled_for)
    where scheduled_for is not null;
create index ix_drills_open on drills (ends_at) where ended_at is null;

-- It concerns every organisation at once: for the worker and the command line, not for staff.
grant select, insert, update on drills to waylight_intake;
alter table drills enable row level security;
create policy intake_all on drills to waylight_intake using (true) with check (true);

-- A claim takes so many real messages of a channel and so many of its drills: each is one range.
drop index ix_deliveries_due;
create index ix_deliveries_due on deliveries (channel, exercise, priority, next_attempt_at)
    where status = 'queued';

-- The doctor and every scrape ask for what failed lately, which is little.
create index ix_deliveries_failed on deliveries (id) where status = 'failed';
"""


def upgrade() -> None:
    op.execute(DRILLS)


def downgrade() -> None:
    op.execute(
        "drop table drills;"
        "drop index ix_deliveries_failed;"
        "drop index ix_deliveries_due;"
        "create index ix_deliveries_due on deliveries (channel, priority, next_attempt_at)"
        " where status = 'queued'"
    )
