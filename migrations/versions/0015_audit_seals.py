"""The audit log is signed, put into an order after commit, and sealed into a chain.

An entry cannot be changed, so that its place in the order is a row of its own, written by the
worker together with the seal. Entries of older releases have no signature.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SEALS = """
-- Codes and ids alone: there is no room for a story.
alter table audit_entries
    alter column staff_id drop not null,
    alter column organisation_id drop not null,
    add column key_id uuid,
    add column subject_id uuid,
    add column signature bytea,
    add constraint ck_audit_entries_action check (action ~ '^[a-z][a-z_.]{0,63}$'),
    add constraint ck_audit_entries_request_id
        check (request_id ~ '^[A-Za-z0-9._-]{1,64}$');
create index ix_audit_entries_staff_id on audit_entries (staff_id, id desc);

create table audit_positions (
    position bigint primary key,
    entry_id uuid not null constraint uq_audit_positions_entry_id unique,
    is_signed boolean not null,
    digest bytea not null
);
create table audit_seals (
    number bigint primary key,
    first_position bigint not null,
    last_position bigint not null,
    count integer not null,
    digest bytea not null,
    previous bytea not null,
    sealed_at timestamptz not null,
    unsigned_until timestamptz not null,
    key_version smallint not null,
    signature bytea not null,
    constraint ck_audit_seals_count check (count = last_position - first_position + 1)
);
create trigger audit_positions_append_only before update or delete or truncate on audit_positions
    for each statement execute function refuse_change();
create trigger audit_seals_append_only before update or delete or truncate on audit_seals
    for each statement execute function refuse_change();

alter table audit_positions enable row level security;
alter table audit_seals enable row level security;
grant select, insert on audit_positions, audit_seals to waylight_intake;
create policy intake_all on audit_positions to waylight_intake using (true) with check (true);
create policy intake_all on audit_seals to waylight_intake using (true) with check (true);

-- What a passenger or a program changes is audited in the transaction that changes it.
grant insert on audit_entries to waylight_intake;
create policy intake_writes on audit_entries for insert to waylight_intake with check (true);

-- Whoever reads a report tells its passenger so, and nothing else by it.
create policy staff_tells_of_reading on events for insert to waylight_staff
    with check (organisation_id = (select acting_organisation()) and kind = 'report.read'
                and alert_id is null and organisation_may_read(report_id)
                and exists (select from staff s where s.id = staff_id));
"""


def upgrade() -> None:
    op.execute(SEALS)


def downgrade() -> None:
    op.execute(
        "drop policy staff_tells_of_reading on events;"
        "drop policy intake_writes on audit_entries;"
        "revoke insert on audit_entries from waylight_intake;"
        "drop table audit_seals, audit_positions;"
        "drop index ix_audit_entries_staff_id;"
        "alter table audit_entries drop constraint ck_audit_entries_request_id,"
        " drop constraint ck_audit_entries_action, drop column signature,"
        " drop column subject_id, drop column key_id"
    )
