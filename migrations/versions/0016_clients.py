"""API clients run by their organisation: rotation with overlap, allowed origins, OAuth tokens."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

KEYS = """
alter table api_keys
    add column old_token_hash bytea,
    add column old_token_until timestamptz,
    add column rotated_at timestamptz,
    add column allowed_origins text[] not null default '{}',
    add column version integer not null default 1,
    add constraint uq_api_keys_old_token_hash unique (old_token_hash),
    add constraint ck_api_keys_old_token
        check ((old_token_hash is null) = (old_token_until is null)),
    -- Which pages may use the key of a person is a matter of the deployment.
    add constraint ck_api_keys_allowed_origins check (kind = 'client' or allowed_origins = '{}');
create index ix_api_keys_organisation_id on api_keys (organisation_id, id) where kind = 'client';

create table access_tokens (
    token_hash bytea primary key,
    key_id uuid not null references api_keys on delete cascade,
    scopes text[] not null,
    created_at timestamptz not null,
    expires_at timestamptz not null
);
create index ix_access_tokens_key_id on access_tokens (key_id);
create index ix_access_tokens_expires_at on access_tokens (expires_at);
"""

# Staff see and change the clients of their organisation and no key of a person: those are made
# where accounts are. No hash can be read: rotation keeps the old one by a function.
ACCESS = """
alter table api_keys enable row level security;
create policy intake_all on api_keys to waylight_intake using (true);
create policy staff_own_clients on api_keys to waylight_staff
    using (kind = 'client' and organisation_id = (select acting_organisation()))
    with check (kind = 'client' and organisation_id = (select acting_organisation()));
grant select (id, kind, name, organisation_id, scopes, created_at, expires_at, revoked_at,
              last_used_on, allowed_origins, old_token_until, rotated_at, version)
    on api_keys to waylight_staff;
grant insert (id, kind, name, organisation_id, scopes, created_at, expires_at, allowed_origins,
              token_hash) on api_keys to waylight_staff;
grant update (name, scopes, expires_at, revoked_at, allowed_origins, version)
    on api_keys to waylight_staff;

create function rotate_client(client uuid, fresh bytea, until timestamptz, at timestamptz)
returns boolean
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    update api_keys k
    set old_token_hash = case when until is not null then k.token_hash end,
        old_token_until = until, token_hash = fresh, rotated_at = at, version = k.version + 1
    where k.id = client and k.kind = 'client' and k.organisation_id = acting_organisation()
      and k.revoked_at is null;
    if not found then
        return false;
    end if;
    if until is null then
        delete from access_tokens where key_id = client;
    end if;
    return true;
end
$$;
revoke execute on function rotate_client(uuid, bytea, timestamptz, timestamptz) from public;
grant execute on function rotate_client(uuid, bytea, timestamptz, timestamptz) to waylight_staff;

-- update: to lock those that are swept.
grant select, insert, update, delete on access_tokens to waylight_intake;
alter table access_tokens enable row level security;
create policy intake_all on access_tokens to waylight_intake using (true) with check (true);
"""


def upgrade() -> None:
    op.execute(KEYS)
    op.execute(ACCESS)


def downgrade() -> None:
    op.execute(
        "drop table access_tokens;"
        "drop function rotate_client(uuid, bytea, timestamptz, timestamptz);"
        "drop policy staff_own_clients on api_keys;"
        "drop policy intake_all on api_keys;"
        "alter table api_keys disable row level security;"
        "revoke all on api_keys from waylight_staff;"
        "revoke select (id, kind, name, organisation_id, scopes, created_at, expires_at,"
        " revoked_at, last_used_on), insert (id, kind, name, organisation_id, scopes, created_at,"
        " expires_at, token_hash), update (name, scopes, expires_at, revoked_at)"
        " on api_keys from waylight_staff;"
        "drop index ix_api_keys_organisation_id;"
        "alter table api_keys drop column old_token_hash, drop column old_token_until,"
        " drop column rotated_at, drop column allowed_origins, drop column version"
    )
