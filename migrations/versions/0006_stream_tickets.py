"""Tickets: a page opens the stream by an address, and no key may stand in one (design, section 5).

Only hashes are here, each for the half minute in which it may be used once.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TICKETS = """
create table stream_tickets (
    token_hash bytea primary key,
    key_id uuid not null references api_keys on delete cascade,
    team_id uuid,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index ix_stream_tickets_key_id on stream_tickets (key_id);
create index ix_stream_tickets_expires_at on stream_tickets (expires_at);

-- Updating is never done; it is the right to lock a row, so that two who forget do not meet.
-- Signing in is the intake's, here as with the keys: the staff role neither makes nor reads any.
alter table stream_tickets enable row level security;
create policy intake_all on stream_tickets to waylight_intake using (true) with check (true);
grant select, insert, update, delete on stream_tickets to waylight_intake;
"""


def upgrade() -> None:
    op.execute(TICKETS)


def downgrade() -> None:
    op.execute("drop table stream_tickets")
