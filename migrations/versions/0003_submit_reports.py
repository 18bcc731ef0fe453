"""The one write of a report (design, D2): lock, look, link, insert, in one transaction.

It is the one place where logic sits in the database, because only here can a lock be taken before
the snapshot that looks for an open incident: as one statement, eight simultaneous reports of one
event made five incidents.

`submit_reports(jsonb)` takes an array of submissions and returns one outcome for each, in order:

    submission  {report, secrets, receipt, idempotency|null, locks, link|null, alerts,
                 escalate_in_s, grants, fallback|null, answer|null}
    outcome     {report_id, replayed, conflict, incident_id, joined, fallback, told: [...], answer}
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TELL = """
-- Creates one alert, its deliveries, its grant and its event.
create function tell(report reports, incident uuid, recipient jsonb) returns jsonb
language plpgsql volatile as $$
declare
    new_alert uuid := uuid_v7(report.received_at);
begin
    insert into alerts (id, incident_id, report_id, city_id, organisation_id, team_id, hub_id, role,
                        rank, priority, distance_m, reasons, exercise, created_at)
    values (new_alert, incident, report.id, report.city_id,
            (recipient->>'organisation_id')::uuid, (recipient->>'team_id')::uuid,
            (recipient->>'hub_id')::uuid, recipient->>'role', (recipient->>'rank')::smallint,
            report.priority, (recipient->>'distance_m')::integer, recipient->'reasons',
            report.exercise, report.received_at);
    insert into deliveries (alert_id, report_id, channel, message, priority, exercise,
                            next_attempt_at, created_at)
    select new_alert, report.id, channel, 'alert.created', report.priority, report.exercise,
           report.received_at, report.received_at
    from jsonb_array_elements_text(recipient->'channels') channel;
    insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
    values (report.id, (recipient->>'organisation_id')::uuid, 'routing',
            case recipient->>'role' when 'hub' then 'heads_up' else 'full' end,
            report.received_at, 'routing')
    on conflict (report_id, organisation_id, cause) do update
        set level = case when grants.level = 'full' then 'full' else excluded.level end;
    insert into events (kind, at, city_id, organisation_id, report_id, incident_id, alert_id, data,
                        exercise)
    values ('alert.created', report.received_at, report.city_id,
            (recipient->>'organisation_id')::uuid, report.id, incident, new_alert,
            jsonb_build_object('role', recipient->'role', 'rank', recipient->'rank',
                               'priority', report.priority),
            report.exercise);
    return jsonb_build_object('alert_id', new_alert, 'team_id', recipient->'team_id',
        'hub_id', recipient->'hub_id', 'organisation_id', recipient->'organisation_id',
        'role', recipient->'role', 'rank', recipient->'rank');
end
$$;

-- Tells one recipient that is at work on an incident already about one more report.
create function tell_more(report reports, recipient alerts, channels jsonb) returns jsonb
language plpgsql volatile as $$
begin
    update alerts set priority = least(priority, report.priority), version = version + 1
    where id = recipient.id;
    insert into deliveries (alert_id, report_id, channel, message, priority, exercise,
                            next_attempt_at, created_at)
    select recipient.id, report.id, channel, 'alert.updated', report.priority, report.exercise,
           report.received_at, report.received_at
    from jsonb_array_elements_text(channels) channel;
    insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
    values (report.id, recipient.organisation_id, 'routing',
            case when recipient.hub_id is null then 'full' else 'heads_up' end,
            report.received_at, 'routing')
    on conflict (report_id, organisation_id, cause) do update
        set level = case when grants.level = 'full' then 'full' else excluded.level end;
    insert into events (kind, at, city_id, organisation_id, report_id, incident_id, alert_id, data,
                        exercise)
    values ('alert.updated', report.received_at, report.city_id, recipient.organisation_id,
            report.id, recipient.incident_id, recipient.id,
            jsonb_build_object('reason', 'report_joined', 'priority', report.priority),
            report.exercise);
    return jsonb_build_object('alert_id', recipient.id, 'team_id', recipient.team_id,
        'hub_id', recipient.hub_id, 'organisation_id', recipient.organisation_id,
        'role', recipient.role, 'rank', recipient.rank);
end
$$;

-- Tells a recipient that comes to an incident later. A team gets every report that was there before
-- it: a graver report must not take a team from the passenger who reported first.
create function tell_of_all(report reports, incident uuid, recipient jsonb) returns jsonb
language plpgsql volatile as $$
declare
    newcomer jsonb := tell(report, incident, recipient);
    recipient_id uuid := (recipient->>'organisation_id')::uuid;
begin
    if newcomer->>'team_id' is null then
        return newcomer;
    end if;
    with earlier as (
        select e.id, e.city_id, e.priority, e.exercise from reports e
        where e.incident_id = incident and e.id <> report.id and e.withdrawn_at is null),
    granted as (
        insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
        select id, recipient_id, 'routing', 'full', report.received_at, 'routing' from earlier
        on conflict (report_id, organisation_id, cause) do update set level = 'full')
    insert into events (kind, at, city_id, organisation_id, report_id, incident_id, alert_id, data,
                        exercise)
    select 'alert.updated', report.received_at, e.city_id, recipient_id, e.id, incident,
           (newcomer->>'alert_id')::uuid,
           jsonb_build_object('reason', 'report_joined', 'priority', e.priority), e.exercise
    from earlier e;
    return newcomer;
end
$$;
"""

LINK = """
-- The open incident this report belongs to, locked; all null when there is none. Within 150 m or in
-- the same vehicle, 15 minutes, a category group in common, the same audience (design, section 2).
-- Vehicle numbers repeat: the same one in another city or out of a vehicle's reach is another.
create function open_incident(report reports, link jsonb) returns incidents
language sql volatile as $$
    select i from incidents i
    where i.state = 'open' and i.exercise = report.exercise and i.audience = link->>'audience'
      and i.category_groups && report.category_groups
      and i.last_at between (link->>'happened_at')::timestamptz - interval '15 minutes'
                        and (link->>'happened_at')::timestamptz + interval '15 minutes'
      and i.id in (
          select near.id from incidents near
          where near.state = 'open'
            and st_dwithin(near.position, report.position, (link->>'within_m')::float8)
          union all
          select same.id from incidents same
          where same.state = 'open' and same.vehicle = link->>'vehicle'
            and same.city_id = report.city_id
            and coalesce(st_dwithin(same.position, report.position,
                                    (link->>'vehicle_within_m')::float8), true))
    order by i.id limit 1
    for update
$$;

-- Finds or opens the incident of a report and tells everybody who must know.
create function route(report reports, submission jsonb) returns jsonb
language plpgsql volatile as $$
declare
    link jsonb := submission->'link';
    found incidents;
    incident uuid;
    working alerts;
    recipient jsonb;
    told jsonb := '[]';
    has_joined boolean := false;
    restart boolean := true;
    climb_at timestamptz :=
        report.received_at + make_interval(secs => (submission->>'escalate_in_s')::float8);
begin
    found := open_incident(report, link);
    if found.id is null then
        insert into incidents (id, city_id, category_groups, audience, exercise, position, vehicle,
                               opened_at, last_at, priority, escalate_at, restarted_at)
        values (uuid_v7(report.received_at), report.city_id, report.category_groups,
                link->>'audience', report.exercise, report.position, link->>'vehicle',
                report.received_at, (link->>'happened_at')::timestamptz, report.priority,
                climb_at, report.received_at)
        returning id into incident;
    else
        incident := found.id;
        has_joined := true;
        for working in
            select * from alerts a where a.incident_id = incident and a.team_id is not null
              and a.state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene')
            order by a.rank, a.id
        loop
            told := told || tell_more(report, working, link->'channels');
        end loop;
        -- A more serious report, an incident nobody has any more, one that nobody has who looks
        -- after this report's place and mode, or a wish for police where no police are: the ladder
        -- starts afresh.
        restart := report.priority < found.priority or told = '[]'
            or jsonb_array_length(link->'fit') > 0 and not exists (
                select from alerts a
                where a.incident_id = incident and link->'fit' ? a.team_id::text and a.state in
                    ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene'))
            or (link->>'police')::boolean and not exists (
                select from alerts a join organisations o on o.id = a.organisation_id
                where a.incident_id = incident and o.kind = 'police' and a.state in
                    ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene'));
        update incidents set
            last_at = greatest(last_at, (link->>'happened_at')::timestamptz),
            priority = least(priority, report.priority),
            category_groups = array(
                select distinct unnest(category_groups || report.category_groups) order by 1),
            vehicle = coalesce(vehicle, link->>'vehicle'),
            report_count = report_count + 1,
            -- A less urgent report may start a ladder, but never slow one that runs.
            escalate_at = case when restart then least(escalate_at, climb_at)
                               else escalate_at end,
            restarted_at = case when restart then report.received_at else restarted_at end,
            unanswered_at = case when restart then null else unanswered_at end,
            version = version + 1
        where id = incident;
    end if;

    update reports set incident_id = incident, joined = has_joined where id = report.id;

    for recipient in select * from jsonb_array_elements(submission->'alerts') loop
        select * into working from alerts a
        where a.incident_id = incident
          and (a.team_id = (recipient->>'team_id')::uuid or a.hub_id = (recipient->>'hub_id')::uuid)
          and a.state in ('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene')
        order by a.id desc limit 1;
        if working.id is null and (restart or recipient->>'role' = 'hub') then
            told := told || case when has_joined then tell_of_all(report, incident, recipient)
                                 else tell(report, incident, recipient) end;
        elsif working.hub_id is not null then
            told := told || tell_more(report, working, link->'channels');
        end if;
    end loop;
    return jsonb_build_object('incident_id', incident, 'joined', has_joined, 'told', told);
end
$$;
"""

SUBMIT = """
create function submit_report(submission jsonb) returns jsonb
language plpgsql volatile as $$
declare
    report reports := jsonb_populate_record(null::reports, submission->'report');
    idempotency jsonb := nullif(submission->'idempotency', 'null');
    fallback jsonb := nullif(submission->'fallback', 'null');
    earlier idempotency_keys;
    outcome jsonb;
    problem text;
begin
    if idempotency is not null then
        select * into earlier from idempotency_keys
        where key_hash = (idempotency->>'key_hash')::bytea
        order by fingerprint = (idempotency->>'fingerprint')::bytea desc, created_at
        limit 1;
        if earlier.fingerprint = (idempotency->>'fingerprint')::bytea then
            return earlier.outcome
                || jsonb_build_object('replayed', true, 'answer', earlier.answer);
        end if;
        if earlier.report_id is not null then
            if (idempotency->>'strict')::boolean then
                return jsonb_build_object('replayed', false, 'conflict', true);
            end if;
            report.linked_report_id := earlier.report_id;
        end if;
    end if;

    insert into reports select report.*;
    insert into report_secrets
    select * from jsonb_populate_record(null::report_secrets, submission->'secrets');
    insert into receipts
    select * from jsonb_populate_record(null::receipts, submission->'receipt');
    insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
    select report.id, (g->>'organisation_id')::uuid, g->>'cause', g->>'level', report.received_at,
           g->>'cause'
    from jsonb_array_elements(submission->'grants') g
    on conflict do nothing;
    insert into events (kind, at, city_id, report_id, data, exercise)
    values ('report.received', report.received_at, report.city_id, report.id,
            jsonb_build_object('priority', report.priority), report.exercise);

    outcome := jsonb_build_object('report_id', report.id, 'replayed', false, 'conflict', false,
        'incident_id', null, 'joined', false, 'fallback', false, 'told', '[]'::jsonb,
        'linked_report_id', report.linked_report_id);
    if report.status = 'routed' then
        begin
            outcome := outcome || route(report, submission);
        exception when others then
            -- A fault in routing must never cost the report: the control room gets it instead.
            get stacked diagnostics problem = message_text;
            outcome := outcome || route_to_fallback(report, fallback, problem);
        end;
    end if;

    if idempotency is not null then
        insert into idempotency_keys (key_hash, fingerprint, report_id, answer, outcome, created_at)
        values ((idempotency->>'key_hash')::bytea, (idempotency->>'fingerprint')::bytea, report.id,
                submission->'answer', outcome, report.received_at);
    end if;
    return outcome;
end
$$;

-- The control room alone, with no spatial work at all; failing even that, the report waits as
-- `unrouted` for the worker, which looks for such reports at every turn.
create function route_to_fallback(report reports, fallback jsonb, problem text) returns jsonb
language plpgsql volatile as $$
declare
    incident uuid := uuid_v7(report.received_at);
    told jsonb;
begin
    insert into events (kind, at, city_id, report_id, data, exercise)
    values ('routing.failed', report.received_at, report.city_id, report.id,
            jsonb_build_object('problem', left(problem, 500)), report.exercise);
    if fallback is null then
        update reports set status = 'unrouted' where id = report.id;
        return jsonb_build_object('fallback', true);
    end if;
    insert into incidents (id, city_id, category_groups, audience, exercise, opened_at, last_at,
                           priority, escalate_at)
    values (incident, report.city_id, report.category_groups, 'fallback', report.exercise,
            report.received_at, report.received_at, report.priority,
            report.received_at + interval '1 minute');
    update reports set incident_id = incident where id = report.id;
    told := jsonb_build_array(tell(report, incident, fallback));
    return jsonb_build_object('incident_id', incident, 'fallback', true, 'told', told);
exception when others then
    update reports set status = 'unrouted' where id = report.id;
    return jsonb_build_object('fallback', true);
end
$$;

create function submit_reports(submissions jsonb) returns setof jsonb
language plpgsql volatile as $$
begin
    -- All keys before all cells, each in sorted order: no two calls can wait for each other in a
    -- circle. A key that collides with another only makes somebody wait.
    perform pg_advisory_xact_lock(key) from (
        select distinct
            hashtextextended('idempotency:' || (s->'idempotency'->>'key_hash'), 0) as key
        from jsonb_array_elements(submissions) s
        where s->'idempotency'->>'key_hash' is not null
        order by key) keys;
    perform pg_advisory_xact_lock(cell) from (
        select distinct cell::bigint as cell
        from jsonb_array_elements(submissions) s, jsonb_array_elements_text(s->'locks') cell
        order by cell) cells;
    return query select submit_report(s) from jsonb_array_elements(submissions) s;
end
$$;
revoke execute on function submit_reports(jsonb), submit_report(jsonb), route(reports, jsonb),
    route_to_fallback(reports, jsonb, text), tell(reports, uuid, jsonb),
    tell_more(reports, alerts, jsonb),
    tell_of_all(reports, uuid, jsonb), open_incident(reports, jsonb) from public;
grant execute on function submit_reports(jsonb), submit_report(jsonb), route(reports, jsonb),
    route_to_fallback(reports, jsonb, text), tell(reports, uuid, jsonb),
    tell_more(reports, alerts, jsonb),
    tell_of_all(reports, uuid, jsonb), open_incident(reports, jsonb) to waylight_intake;
"""


def upgrade() -> None:
    op.execute(TELL)
    op.execute(LINK)
    op.execute(SUBMIT)


def downgrade() -> None:
    op.execute(
        "drop function submit_reports(jsonb), submit_report(jsonb),"
        " route_to_fallback(reports, jsonb, text), route(reports, jsonb),"
        " open_incident(reports, jsonb), tell_of_all(reports, uuid, jsonb),"
        " tell_more(reports, alerts, jsonb),"
        " tell(reports, uuid, jsonb)"
    )
