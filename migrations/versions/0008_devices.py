"""Devices that get push messages end with the key that they were signed in with.

An address may be bound to an API key and to an instant. `end_devices` ends some of them whoever
asks: a key that is revoked, a push service that says so, a person who signs out, a new owner.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

COLUMNS = """
alter table addresses
    add column api_key_id uuid references api_keys,
    add column expires_at timestamptz,
    -- A push service that does not answer in time must not take the senders of the others.
    add column timeouts smallint not null default 0,
    add column rests_until timestamptz;
create index ix_addresses_api_key_id on addresses (api_key_id) where api_key_id is not null;
create index ix_addresses_staff_id on addresses (staff_id) where staff_id is not null;
"""

FUNCTIONS = """
-- Ends devices, with all that is queued for them. As whoever calls: row-level security binds it.
-- The key that their address is sealed with is destroyed, so nobody can send there any more.
create function end_devices(devices uuid[], reason text, at timestamptz) returns integer
language plpgsql volatile as $$
declare
    ended integer;
begin
    -- Addresses before messages, each in the order of their ids, as the workers lock them.
    -- Also those that are gone already: a worker that heard so may be giving up what waits.
    perform from addresses a where a.id = any (devices) order by a.id for update;
    with gone as (
        update addresses a set state = 'gone', wrapped_key = null, version = a.version + 1
        where a.id = any (devices) and a.staff_id is not null and a.state <> 'gone'
        returning a.id, a.organisation_id, a.staff_id, a.channel),
    told as (
        insert into events (kind, at, organisation_id, staff_id, data)
        select 'device.unsubscribed', end_devices.at, g.organisation_id, g.staff_id,
               jsonb_build_object('device_id', g.id, 'channel', g.channel, 'reason', reason)
        from gone g returning 1)
    select count(*) into ended from told;
    perform give_up_addresses(devices, end_devices.at);
    return ended;
end
$$;

-- Makes a device the person's: `taken` when it is, with those of others that were `proved` ended.
-- `signed_out` when the key works no more, `contested` when others have it, unproved. The key is
-- locked, so that it is not revoked between this look and the device's first row. As the owner: a
-- device may come from another organisation.
create function take_device(person uuid, key uuid, device bytea[], proved uuid[], at timestamptz)
returns text
language plpgsql volatile security definer set search_path = public, pg_temp as $$
begin
    perform from api_keys k
    where k.id = key and k.staff_id = person and k.organisation_id = acting_organisation()
      and k.revoked_at is null and coalesce(k.expires_at > take_device.at, true)
    for share;
    if not found then
        return 'signed_out';
    end if;
    -- One at a time for each person, who may have only so many, and for each device.
    perform pg_advisory_xact_lock(hashtextextended(person::text, 0));
    -- A device is found by a hash for each vault key that is held: locked in one order.
    perform pg_advisory_xact_lock(hash) from (
        select hashtextextended(encode(one, 'hex'), 0) as hash
        from unnest(device) one order by 1) hashes;
    if exists (select from addresses a
               where a.fingerprint = any (device) and a.channel = 'web_push' and a.state <> 'gone'
                 and a.staff_id <> person and a.id <> all (proved)) then
        return 'contested';
    end if;
    perform end_devices(
        array(select a.id from addresses a
              where a.fingerprint = any (device) and a.channel = 'web_push'
                and a.staff_id <> person),
        'moved', take_device.at);
    return 'taken';
end
$$;

revoke execute on function end_devices(uuid[], text, timestamptz),
    take_device(uuid, uuid, bytea[], uuid[], timestamptz) from public;
grant execute on function end_devices(uuid[], text, timestamptz)
    to waylight_intake, waylight_staff;
grant execute on function take_device(uuid, uuid, bytea[], uuid[], timestamptz) to waylight_staff;
"""

ANY = "a.state = 'active'"
NOT_EXPIRED = "a.state = 'active' and coalesce(a.expires_at > queue_messages.at, true)"
QUEUE = "queue_messages(alerts, uuid, jsonb, text, smallint, timestamptz)"

# The function itself is the text to change: other migrations change other parts of it.
REWORD = """
do $reword$
declare
    written constant text := pg_get_functiondef('{function}'::regprocedure);
    reworded constant text := replace(written, $a${old}$a$, $b${new}$b$);
begin
    if reworded = written then
        raise exception '{function} is not as the migration before left it';
    end if;
    execute reworded;
end
$reword$;
"""


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(FUNCTIONS)
    op.execute(REWORD.format(function=QUEUE, old=ANY, new=NOT_EXPIRED))


def downgrade() -> None:
    op.execute(REWORD.format(function=QUEUE, old=NOT_EXPIRED, new=ANY))
    op.execute(
        "drop function take_device(uuid, uuid, bytea[], uuid[], timestamptz),"
        " end_devices(uuid[], text, timestamptz);"
        "drop index ix_addresses_staff_id, ix_addresses_api_key_id;"
        "alter table addresses drop column rests_until, drop column timeouts,"
        " drop column expires_at, drop column api_key_id"
    )
