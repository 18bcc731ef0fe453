"""Accounts: how the people of an organisation sign in, their sessions, and wrong tries.

An account belongs to one person of `staff`, in the same organisation: the reference says so. A
session is a key of its person (`api_keys`) that ends by itself, so that streams, tickets and
devices end with it as they do with every key.
"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

ACCOUNTS = """
alter table staff add constraint uq_staff_id_organisation_id unique (id, organisation_id);

create table accounts (
    staff_id uuid primary key,
    organisation_id uuid not null references organisations,
    login_hash bytea not null,
    key_version smallint not null,
    wrapped_key bytea not null,
    email bytea not null,
    password_hash text,
    password_set_at timestamptz,
    totp_secret bytea,
    totp_since timestamptz,
    totp_pending bytea,
    totp_step bigint,
    recovery_hashes bytea[] not null default '{}',
    invitation_hash bytea constraint uq_accounts_invitation_hash unique,
    invited_until timestamptz,
    roles text[] not null,
    disabled_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    version integer not null default 1,
    -- An account in another organisation than its person cannot be written.
    constraint accounts_staff_id_fkey foreign key (staff_id, organisation_id)
        references staff (id, organisation_id),
    constraint uq_accounts_organisation_id_login_hash unique (organisation_id, login_hash),
    constraint ck_accounts_roles check (cardinality(roles) > 0 and roles <@
        '{responder,dispatcher,analyst,support_worker,administrator,auditor}'::text[])
);
create index ix_accounts_login_hash on accounts (login_hash);

create table sessions (
    id uuid primary key references api_keys on delete cascade,
    staff_id uuid not null references accounts,
    organisation_id uuid not null references organisations,
    created_at timestamptz not null,
    last_used_at timestamptz not null,
    idle_s integer not null,
    fresh_until timestamptz
);
create index ix_sessions_staff_id on sessions (staff_id, id);

create table sign_in_policies (
    organisation_id uuid primary key references organisations,
    requires_totp boolean not null,
    version integer not null default 1
);

-- Whoever tries, as hashes under a salt that is thrown away every day (design, 6.2).
create table sign_in_attempts (
    key bytea primary key,
    failures integer not null,
    last_at timestamptz not null
);
create index ix_sign_in_attempts_last_at on sign_in_attempts (last_at);
create table sign_in_salt (
    one boolean primary key default true constraint ck_sign_in_salt_one check (one),
    day date not null,
    salt bytea not null
);
"""

FUNCTIONS = """
-- A turn to try a password: 0, or the seconds to wait until there is one for all of these names.
-- A turn counts as a failure from the start: a thousand tries at once do not pass while none of
-- them is known to be wrong yet. After `free` of them each next waits twice as long as the last.
create function take_sign_in_turn(
    names bytea[], free integer[], longest_s integer[], fresh_salt bytea, at timestamptz)
returns integer
language plpgsql volatile as $$
declare
    today constant date := (take_sign_in_turn.at at time zone 'UTC')::date;
    salted bytea;
    wait_s integer;
begin
    -- The row is locked until the end: one turn after the other.
    insert into sign_in_salt as s (day, salt) values (today, fresh_salt)
    on conflict (one) do update set
        salt = case when s.day = excluded.day then s.salt else excluded.salt end,
        day = excluded.day
    returning s.salt into salted;
    delete from sign_in_attempts a where a.last_at < take_sign_in_turn.at - interval '1 day';
    select max(ceil(extract(epoch from a.last_at - take_sign_in_turn.at)
                    + least(asked.longest_s, 2 ^ least(a.failures - asked.free, 30))))
    into wait_s
    from unnest(names, free, longest_s) asked (name, free, longest_s)
    join sign_in_attempts a on a.key = sha256(salted || asked.name)
    where a.failures >= asked.free;
    if wait_s > 0 then
        return wait_s;
    end if;
    insert into sign_in_attempts as a (key, failures, last_at)
    select sha256(salted || name), 1, take_sign_in_turn.at from unnest(names) name
    on conflict (key) do update set failures = a.failures + 1, last_at = excluded.last_at;
    return 0;
end
$$;

-- The last try was right: those of `names` are forgotten, of `shared` ones that one alone.
create function forget_sign_in_turns(names bytea[], shared bytea[]) returns void
language sql volatile as $$
    delete from sign_in_attempts a using sign_in_salt s, unnest(names) name
    where a.key = sha256(s.salt || name);
    update sign_in_attempts a set failures = greatest(a.failures - 1, 0)
    from sign_in_salt s, unnest(shared) name where a.key = sha256(s.salt || name);
$$;

-- A session of somebody whose account is not disabled; false without. As the owner: nobody else
-- makes keys, and this one carries no scope of its own.
create function open_session(session uuid, person uuid, token bytea, idle_s integer,
                             ends_at timestamptz, at timestamptz) returns boolean
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    insert into api_keys (id, kind, name, token_hash, staff_id, organisation_id, scopes,
                          created_at, expires_at)
    select session, 'staff', 'session', token, a.staff_id, a.organisation_id, '{}',
           open_session.at, ends_at
    from accounts a where a.staff_id = person and a.disabled_at is null for share;
    if not found then
        return false;
    end if;
    insert into sessions (id, staff_id, organisation_id, created_at, last_used_at, idle_s)
    select session, a.staff_id, a.organisation_id, open_session.at, open_session.at,
           open_session.idle_s
    from accounts a where a.staff_id = person;
    return true;
end
$$;

-- Ends keys at once, with the devices that were signed in with them; how many had not ended.
-- Devices after keys, by a statement of its own: one that is just being added waits for the key.
create function end_keys(keys uuid[], at timestamptz) returns integer
language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare
    ended integer;
begin
    update api_keys k set revoked_at = end_keys.at where k.id = any (keys) and k.revoked_at is null;
    get diagnostics ended = row_count;
    perform end_devices(
        array(select a.id from addresses a where a.api_key_id = any (keys) and a.state <> 'gone'),
        'signed_out', end_keys.at);
    return ended;
end
$$;

-- The same for an administrator: keys of a person of the organisation that they act for, no other.
-- One session, all sessions, or all keys.
create function end_keys_of(person uuid, session uuid, only_sessions boolean, at timestamptz)
returns integer
language sql volatile security definer set search_path = public, pg_temp as $$
    select end_keys(array(
        select k.id from api_keys k left join sessions s on s.id = k.id
        where k.staff_id = person and k.organisation_id = acting_organisation()
          and k.revoked_at is null and (s.id is not null or not only_sessions)
          and coalesce(s.id = session, session is null)), end_keys_of.at)
$$;

revoke execute on function end_keys_of(uuid, uuid, boolean, timestamptz) from public;
grant execute on function end_keys_of(uuid, uuid, boolean, timestamptz) to waylight_staff;
revoke execute on function open_session(uuid, uuid, bytea, integer, timestamptz, timestamptz),
    end_keys(uuid[], timestamptz), forget_sign_in_turns(bytea[], bytea[]),
    take_sign_in_turn(bytea[], integer[], integer[], bytea, timestamptz) from public;
grant execute on function open_session(uuid, uuid, bytea, integer, timestamptz, timestamptz),
    end_keys(uuid[], timestamptz), forget_sign_in_turns(bytea[], bytea[]),
    take_sign_in_turn(bytea[], integer[], integer[], bytea, timestamptz) to waylight_intake;
"""

# What somebody signs in with is never read by the role that serves people: no hash of a password,
# no secret. Signing in is the intake's.
ACCESS = """
grant select, update on accounts to waylight_intake;
grant select on sessions, sign_in_policies to waylight_intake;
grant update (last_used_at, fresh_until) on sessions to waylight_intake;
grant select, insert, update, delete on sign_in_attempts to waylight_intake;
grant select, insert, update on sign_in_salt to waylight_intake;

grant select (staff_id, organisation_id, login_hash, key_version, wrapped_key, email,
              password_set_at, totp_since, invited_until, roles, disabled_at, created_at,
              updated_at, version),
      insert (staff_id, organisation_id, login_hash, key_version, wrapped_key, email, roles,
              created_at, updated_at),
      update (invitation_hash, invited_until, roles, disabled_at, totp_secret, totp_since,
              totp_pending, recovery_hashes, updated_at, version)
    on accounts to waylight_staff;
grant select on sessions to waylight_staff;
grant select, insert, update on sign_in_policies to waylight_staff;
grant insert (id, organisation_id, name, role, created_at), update (name, role) on staff
    to waylight_staff;

create policy staff_hires on staff for insert to waylight_staff
    with check (organisation_id = (select acting_organisation()));
create policy staff_renames on staff for update to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation()));

alter table accounts enable row level security;
create policy intake_all on accounts to waylight_intake using (true) with check (true);
create policy staff_own on accounts to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation()));
alter table sessions enable row level security;
create policy intake_all on sessions to waylight_intake using (true) with check (true);
create policy staff_own on sessions for select to waylight_staff
    using (organisation_id = (select acting_organisation()));
alter table sign_in_policies enable row level security;
create policy intake_all on sign_in_policies to waylight_intake using (true) with check (true);
create policy staff_own on sign_in_policies to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation()));
alter table sign_in_attempts enable row level security;
create policy intake_all on sign_in_attempts to waylight_intake using (true) with check (true);
alter table sign_in_salt enable row level security;
create policy intake_all on sign_in_salt to waylight_intake using (true) with check (true);
"""


def upgrade() -> None:
    op.execute(ACCOUNTS)
    op.execute(FUNCTIONS)
    op.execute(ACCESS)


def downgrade() -> None:
    op.execute(
        "drop policy staff_renames on staff; drop policy staff_hires on staff;"
        "revoke insert (id, organisation_id, name, role, created_at), update (name, role) on staff"
        " from waylight_staff;"
        "drop function end_keys_of(uuid, uuid, boolean, timestamptz),"
        " end_keys(uuid[], timestamptz),"
        " open_session(uuid, uuid, bytea, integer, timestamptz, timestamptz),"
        " forget_sign_in_turns(bytea[], bytea[]),"
        " take_sign_in_turn(bytea[], integer[], integer[], bytea, timestamptz);"
        # What was signed in with an account must not go on as a key without any end but its time.
        "delete from stream_tickets where key_id in (select id from sessions);"
        "update api_keys set revoked_at = coalesce(revoked_at, now())"
        " where id in (select id from sessions);"
        "drop table sign_in_salt, sign_in_attempts, sign_in_policies, sessions, accounts;"
        "alter table staff drop constraint uq_staff_id_organisation_id"
    )
