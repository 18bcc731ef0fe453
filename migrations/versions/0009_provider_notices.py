"""What providers of messages tell us: receipts that came early, and answers by text.

A receipt may be here before the outcome of the attempt it is about, and an answer may come twice.
An address that has no person of its own acts as one: the audit log names who answered, never
nobody.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
    create table provider_notices (
        provider text not null,
        kind text not null,
        ref text not null,
        received_at timestamptz not null,
        delivered boolean,
        detail text,
        fingerprint bytea,
        outcome text,
        primary key (provider, kind, ref),
        constraint ck_provider_notices_kind check (kind in ('receipt', 'answer'))
    );
    create index ix_provider_notices_fingerprint on provider_notices (fingerprint, received_at)
        where fingerprint is not null;
    create index ix_provider_notices_received_at on provider_notices (received_at);

    grant select, insert, update, delete on provider_notices to waylight_intake;
    alter table provider_notices enable row level security;
    create policy intake_all on provider_notices to waylight_intake using (true) with check (true);

    -- Who answers from an address that is nobody's own. Runs as its owner, so that the role of the
    -- worker can make nobody else.
    create function person_of_address(asked uuid, at timestamptz) returns uuid
    language plpgsql security definer set search_path = public, pg_temp as $$
    declare
        answering addresses;
    begin
        select * into answering from addresses where id = asked for update;
        if answering.id is not null and answering.staff_id is null then
            insert into staff (organisation_id, name, role, created_at)
            values (answering.organisation_id, answering.name || ' (by text)', 'text_message', at)
            returning id into answering.staff_id;
            update addresses set staff_id = answering.staff_id where id = asked;
        end if;
        return answering.staff_id;
    end
    $$;
    revoke execute on function person_of_address(uuid, timestamptz) from public;
    grant execute on function person_of_address(uuid, timestamptz) to waylight_intake;
    """)


def downgrade() -> None:
    op.execute("drop function person_of_address(uuid, timestamptz); drop table provider_notices")
