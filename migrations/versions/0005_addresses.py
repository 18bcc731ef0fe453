"""Where a recipient is reached, and what became of every attempt to reach it.

An address is a device, a telephone, a mailbox: one place on one channel. A message is queued once
for each address that a recipient has on the channels in use, and once for a channel that needs
none. What leads to a person is sealed like a story: `fingerprint`, a keyed hash, finds it again.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PARTITIONED = "'reports', 'report_secrets', 'alerts', 'deliveries', 'events', 'grants'"

ADDRESSES = """
create table addresses (
    id uuid primary key default uuid_v7(),
    organisation_id uuid not null references organisations,
    team_id uuid references teams,
    hub_id uuid references hubs,
    staff_id uuid references staff,
    channel text not null,
    name text not null,
    key_version smallint not null,
    wrapped_key bytea,
    address bytea not null,
    fingerprint bytea not null,
    state text not null default 'active',
    created_at timestamptz not null,
    created_by uuid,
    last_sent_at timestamptz,
    version integer not null default 1,
    constraint ck_addresses_recipient check ((team_id is null) <> (hub_id is null)),
    constraint ck_addresses_state check (state in ('active', 'paused', 'gone'))
);
create unique index uq_addresses_team_id on addresses (team_id, channel, fingerprint)
    where state <> 'gone' and team_id is not null;
create unique index uq_addresses_hub_id on addresses (hub_id, channel, fingerprint)
    where state <> 'gone' and hub_id is not null;
create index ix_addresses_fingerprint on addresses (fingerprint);
create index ix_addresses_organisation_id on addresses (organisation_id, id);

create table delivery_attempts (
    id uuid not null default uuid_v7(),
    delivery_id uuid not null,
    attempt smallint not null,
    at timestamptz not null,
    duration_ms integer not null,
    worker_id text not null,
    provider text,
    provider_ref text,
    outcome text not null,
    detail text,
    primary key (id)
) partition by range (id);
create index ix_delivery_attempts_delivery_id on delivery_attempts (delivery_id, id);
-- A provider's receipt names the message by the provider's own number.
create index ix_delivery_attempts_provider_ref on delivery_attempts (provider_ref)
    where provider_ref is not null;

alter table deliveries
    add column target_id uuid,
    add column event_id uuid,
    add column reply_code text,
    alter column alert_id drop not null,
    alter column report_id drop not null;
-- Each channel is claimed for itself: one that is stuck must not keep the others waiting.
drop index ix_deliveries_due;
create index ix_deliveries_due on deliveries (channel, priority, next_attempt_at)
    where status = 'queued';
create index ix_deliveries_target_id on deliveries (target_id, id) where target_id is not null;
create index ix_deliveries_reply_code on deliveries (reply_code) where reply_code is not null;
"""

FUNCTIONS = """
-- Queues one message about an alert: for each address of its recipient on these channels, and for
-- each channel that needs none.
create function queue_messages(alert alerts, report uuid, channels jsonb, message text,
                               priority smallint, at timestamptz) returns integer
language plpgsql volatile as $$
declare
    queued integer;
begin
    insert into deliveries (alert_id, report_id, channel, target_id, message, priority, exercise,
                            next_attempt_at, created_at)
    select alert.id, report, to_tell.channel, to_tell.target_id, queue_messages.message,
           queue_messages.priority, alert.exercise, queue_messages.at, queue_messages.at
    from (
        select used.channel, null::uuid as target_id
        from jsonb_array_elements_text(channels) used (channel) where used.channel = 'console'
        union all
        select a.channel, a.id from addresses a
        where a.team_id = alert.team_id and a.state = 'active' and channels ? a.channel
        union all
        select a.channel, a.id from addresses a
        where a.hub_id = alert.hub_id and a.state = 'active' and channels ? a.channel) to_tell;
    get diagnostics queued = row_count;
    return queued;
end
$$;
-- Whether somebody was told there of an alert, about this report, which is over, and was the
-- caller's or of an incident on which it acts. Asks as the owner: a policy that asked `deliveries`
-- about `deliveries` would recurse.
create function alert_was_sent(alert uuid, report uuid, to_channel text, target uuid)
returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    select exists (
        select from alerts a join deliveries d on d.alert_id = a.id
        where a.id = alert and a.state in ('withdrawn', 'closed')
          and (a.organisation_id = acting_organisation() or organisation_acts_on(a.incident_id))
          and d.report_id is not distinct from report
          and d.channel = to_channel and d.target_id is not distinct from target
          and d.message <> 'alert.withdrawn')
$$;
revoke execute on function queue_messages(alerts, uuid, jsonb, text, smallint, timestamptz),
    alert_was_sent(uuid, uuid, text, uuid) from public;
grant execute on function queue_messages(alerts, uuid, jsonb, text, smallint, timestamptz)
    to waylight_intake;
grant execute on function alert_was_sent(uuid, uuid, text, uuid) to waylight_staff;

-- Of addresses that are gone: what waits for them is dropped, but what tells of an alert stays and
-- is due. The next claim finds no address for it, so that it fails for everybody to see and wakes a
-- ladder that rests. In the order of their ids, as the workers lock them. As whoever calls:
-- row-level security binds it.
create function give_up_addresses(gone uuid[], at timestamptz) returns void
language plpgsql volatile as $$
begin
    with mine as materialized (
        select waiting.id, waiting.message in ('alert.created', 'alert.updated') as tells
        from deliveries waiting
        where waiting.target_id = any (gone) and waiting.status = 'queued'
        order by waiting.id for update)
    update deliveries d set
        status = case when tells then 'queued' else 'dropped' end,
        detail = case when tells then d.detail else 'address_gone' end,
        next_attempt_at = case when not tells then null
            -- What is being sent right now ends as it does.
            when d.leased_by is null then least(d.next_attempt_at, give_up_addresses.at)
            else d.next_attempt_at end
    from mine where d.id = mine.id;
end
$$;
revoke execute on function give_up_addresses(uuid[], timestamptz) from public;
grant execute on function give_up_addresses(uuid[], timestamptz)
    to waylight_intake, waylight_staff;
"""

ACCESS = """
grant select, insert, update, delete on addresses to waylight_intake;
grant select, insert, update on delivery_attempts to waylight_intake;
grant select, insert, update on addresses to waylight_staff;
grant select on delivery_attempts to waylight_staff;
grant insert, update (detail) on deliveries to waylight_staff;

alter table addresses enable row level security;
create policy intake_all on addresses to waylight_intake using (true) with check (true);
create policy staff_own on addresses to waylight_staff
    using (organisation_id = (select acting_organisation()))
    with check (organisation_id = (select acting_organisation())
                and (team_id is null or exists (
                    select from teams t where t.id = team_id
                      and t.organisation_id = (select acting_organisation())))
                and (hub_id is null or exists (
                    select from hubs h where h.id = hub_id
                      and h.organisation_id = (select acting_organisation())))
                and (staff_id is null or exists (select from staff s where s.id = staff_id)));

alter table delivery_attempts enable row level security;
create policy intake_all on delivery_attempts to waylight_intake using (true) with check (true);
create policy staff_told on delivery_attempts for select to waylight_staff
    using (exists (select from deliveries d where d.id = delivery_id));

-- Whoever acts on an incident tells those that it stands down, where they were told of it.
create policy staff_tells on deliveries for insert to waylight_staff
    with check (message = 'alert.withdrawn' and event_id is null and reply_code is null
                and alert_was_sent(alert_id, report_id, channel, target_id));
"""

QUEUED_BY_HAND = {
    "tell(reports, uuid, jsonb)": """
    insert into deliveries (alert_id, report_id, channel, message, priority, exercise,
                            next_attempt_at, created_at)
    select new_alert, report.id, channel, 'alert.created', report.priority, report.exercise,
           report.received_at, report.received_at
    from jsonb_array_elements_text(recipient->'channels') channel;""",
    "tell_more(reports, alerts, jsonb)": """
    insert into deliveries (alert_id, report_id, channel, message, priority, exercise,
                            next_attempt_at, created_at)
    select recipient.id, report.id, channel, 'alert.updated', report.priority, report.exercise,
           report.received_at, report.received_at
    from jsonb_array_elements_text(channels) channel;""",
}
QUEUED_BY_FUNCTION = {
    "tell(reports, uuid, jsonb)": """
    perform queue_messages(a, report.id, recipient->'channels', 'alert.created',
                           report.priority, report.received_at)
    from alerts a where a.id = new_alert;""",
    "tell_more(reports, alerts, jsonb)": """
    perform queue_messages(recipient, report.id, channels, 'alert.updated',
                           report.priority, report.received_at);""",
}

# Functions that are long and of which only this changes; the function itself is the text to change.
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


def _reword(function: str, old: str, new: str) -> None:
    op.execute(REWORD.format(function=function, old=old, new=new))


def upgrade() -> None:
    op.execute(ADDRESSES)
    op.execute(FUNCTIONS)
    op.execute(ACCESS)
    for function, old in QUEUED_BY_HAND.items():
        _reword(function, old, QUEUED_BY_FUNCTION[function])
    more = f"{PARTITIONED}, 'delivery_attempts'"
    _reword("make_partitions(text, integer)", f"({PARTITIONED})", f"({more})")
    op.execute("create table delivery_attempts_default partition of delivery_attempts default")
    op.execute("alter table delivery_attempts_default enable row level security")
    op.execute("select make_partitions('delivery_attempts', 3)")


def downgrade() -> None:
    more = f"{PARTITIONED}, 'delivery_attempts'"
    _reword("make_partitions(text, integer)", f"({more})", f"({PARTITIONED})")
    for function, new in QUEUED_BY_FUNCTION.items():
        _reword(function, new, QUEUED_BY_HAND[function])
    op.execute(
        "drop policy staff_tells on deliveries;"
        "revoke insert, update (detail) on deliveries from waylight_staff;"
        "drop function give_up_addresses(uuid[], timestamptz);"
        "drop function queue_messages(alerts, uuid, jsonb, text, smallint, timestamptz),"
        " alert_was_sent(uuid, uuid, text, uuid);"
        "drop table delivery_attempts, addresses;"
        "drop index ix_deliveries_reply_code, ix_deliveries_target_id, ix_deliveries_due;"
        # Messages about no alert have no place in the older table.
        "delete from deliveries where alert_id is null or report_id is null;"
        "alter table deliveries drop column target_id, drop column event_id,"
        " drop column reply_code, alter column alert_id set not null,"
        " alter column report_id set not null;"
        "create index ix_deliveries_due on deliveries (priority, next_attempt_at)"
        " where status = 'queued'"
    )
