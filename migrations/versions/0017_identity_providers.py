"""OpenID Connect: the providers of an organisation, whom each vouches for, and used-up sign-ins.

A provider, the people it vouches for and their sessions belong to one organisation: the references
and the function that opens a session say so, whatever the code above them does.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

PROVIDERS = """
create table identity_providers (
    id uuid primary key default uuid_v7(),
    organisation_id uuid not null references organisations,
    name text not null,
    issuer text not null,
    client_id text not null,
    key_version smallint not null,
    wrapped_key bytea not null,
    client_secret bytea,
    has_client_secret boolean not null generated always as (client_secret is not null) stored,
    redirect_uris text[] not null,
    scopes text[] not null,
    role_mapping jsonb not null,
    email_domains text[] not null,
    second_factor_values text[] not null,
    enabled boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version integer not null default 1,
    constraint uq_identity_providers_id_organisation_id unique (id, organisation_id),
    constraint uq_identity_providers_organisation_id_issuer_client_id
        unique (organisation_id, issuer, client_id)
);

-- Which person of the organisation a subject of a provider is. Of the subject there is a hash.
create table identities (
    provider_id uuid not null,
    subject_hash bytea not null,
    staff_id uuid not null references accounts,
    organisation_id uuid not null,
    linked_at timestamptz not null,
    last_used_at timestamptz not null,
    primary key (provider_id, subject_hash),
    constraint uq_identities_provider_id_staff_id unique (provider_id, staff_id),
    constraint identities_provider_id_fkey foreign key (provider_id, organisation_id)
        references identity_providers (id, organisation_id) on delete cascade,
    constraint identities_staff_id_organisation_id_fkey foreign key (staff_id, organisation_id)
        references staff (id, organisation_id)
);
create index ix_identities_staff_id on identities (staff_id);

-- Sign-ins that were used up, until they would be over anyway: none is good twice.
create table spent_sign_ins (
    id bytea primary key,
    expires_at timestamptz not null
);
create index ix_spent_sign_ins_expires_at on spent_sign_ins (expires_at);

alter table sessions
    add column identity_provider_id uuid references identity_providers on delete set null,
    add column second_factor boolean not null default false;
create index ix_sessions_identity_provider_id on sessions (identity_provider_id)
    where identity_provider_id is not null;
"""

FUNCTIONS = """
-- A session of somebody whom a provider vouches for; false without. All three of one organisation,
-- the acting one, and the provider enabled: whoever disables it waits for this, or this for them.
create function open_provider_session(
    session uuid, provider uuid, person uuid, token bytea, idle_s integer, ends_at timestamptz,
    fresh_until timestamptz, second_factor boolean, at timestamptz) returns boolean
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    perform from identity_providers p
    where p.id = provider and p.organisation_id = acting_organisation() and p.enabled for share;
    if not found or not exists (
        select from identities i where i.provider_id = provider and i.staff_id = person
            and i.organisation_id = acting_organisation())
    then
        return false;
    end if;
    if not open_session(session, person, token, open_provider_session.idle_s, ends_at,
                        open_provider_session.at) then
        return false;
    end if;
    update sessions s
    set identity_provider_id = provider, fresh_until = open_provider_session.fresh_until,
        second_factor = open_provider_session.second_factor
    where s.id = session;
    return true;
end
$$;

-- Ends the sessions that a provider of the acting organisation opened; how many.
create function end_provider_sessions(provider uuid, at timestamptz) returns integer
language sql volatile security definer set search_path = public, pg_temp as $$
    select end_keys(array(
        select k.id from sessions s join api_keys k on k.id = s.id
        where s.identity_provider_id = provider and s.organisation_id = acting_organisation()
          and k.revoked_at is null), end_provider_sessions.at)
$$;

revoke execute on function end_provider_sessions(uuid, timestamptz),
    open_provider_session(uuid, uuid, uuid, bytea, integer, timestamptz, timestamptz, boolean,
                          timestamptz) from public;
grant execute on function end_provider_sessions(uuid, timestamptz),
    open_provider_session(uuid, uuid, uuid, bytea, integer, timestamptz, timestamptz, boolean,
                          timestamptz) to waylight_staff;
"""

# Who signs in is found, made and let in as staff of the provider's organisation: the intake may
# read a provider, wrap its secret anew and note what was used up, and no more. The secret is never
# read by the role that serves people, and issuer and client stay as they are.
ACCESS = """
grant select, update (key_version, wrapped_key) on identity_providers to waylight_intake;
grant select (id, organisation_id, name, issuer, client_id, key_version, wrapped_key,
              has_client_secret, redirect_uris, scopes, role_mapping, email_domains,
              second_factor_values, enabled, created_at, updated_at, version),
      insert (id, organisation_id, name, issuer, client_id, key_version, wrapped_key,
              client_secret, redirect_uris, scopes, role_mapping, email_domains,
              second_factor_values, enabled, created_at, updated_at),
      update (name, client_secret, redirect_uris, scopes, role_mapping, email_domains,
              second_factor_values, enabled, updated_at, version)
    on identity_providers to waylight_staff;
grant delete on identity_providers to waylight_staff;
grant select, insert, delete, update (last_used_at) on identities to waylight_staff;
-- update: to lock those that are swept.
grant select, insert, update, delete on spent_sign_ins to waylight_intake;
grant update (second_factor) on sessions to waylight_intake;

alter table identity_providers enable row level security;
create policy intake_all on identity_providers to waylight_intake using (true) with check (true);
create policy staff_own on identity_providers to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation()));
alter table identities enable row level security;
create policy staff_own on identities to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation()));
alter table spent_sign_ins enable row level security;
create policy intake_all on spent_sign_ins to waylight_intake using (true) with check (true);
"""


def upgrade() -> None:
    op.execute(PROVIDERS)
    op.execute(FUNCTIONS)
    op.execute(ACCESS)


def downgrade() -> None:
    op.execute(
        # What a provider opened must not go on where nobody can end it with the provider.
        "select end_keys(array(select id from sessions where identity_provider_id is not null),"
        " now());"
        "drop function end_provider_sessions(uuid, timestamptz),"
        " open_provider_session(uuid, uuid, uuid, bytea, integer, timestamptz, timestamptz,"
        " boolean, timestamptz);"
        "revoke update (second_factor) on sessions from waylight_intake;"
        "alter table sessions drop column identity_provider_id, drop column second_factor;"
        "drop table spent_sign_ins, identities, identity_providers"
    )
