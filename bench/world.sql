-- Grows a freshly loaded city to the world of the bench: so many teams, hubs and reports of the
-- last 90 days, with all that belongs to them. Synthetic throughout. Parameters are filled in by
-- world.py; runs as the owner, in one transaction.

select setseed(0.42);
-- The planner thinks these subqueries tiny, and would join them row by row.
set local enable_nestloop = off;
set local work_mem = '256MB';
set local synchronous_commit = off;

update teams set retired = true where kind = 'field' and id in (
    select id from teams where kind = 'field' and not retired order by key
    offset %(teams)s::int - 1);

insert into hubs (city_id, organisation_id, key, name, kind, mobile, position, address,
                  opening_hours, open_during, expanded_until, services, access, languages, phone,
                  demo)
select h.city_id, h.organisation_id, 'bench-' || n, h.name || ' ' || n, h.kind, h.mobile,
       st_project(p.position, random() * 300, random() * 2 * pi()), h.address, h.opening_hours,
       h.open_during, h.expanded_until, h.services, h.access, h.languages, h.phone, true
from generate_series(1, %(hubs)s::int - (select count(*)::int from hubs)) n
join (select *, row_number() over (order by id) as k from hubs) h
    on h.k = 1 + n %% (select count(*) from hubs)
join (select *, row_number() over (order by random()) as k from places) p on p.k = n;

-- One row a report: an incident of its own for three in four, else the one of a report before.
create temporary table story on commit drop as
select n, uuid_v7(at) as id, at, random() < 0.25 and n > 1 as joined, p.id as place_id, p.area_id,
       p.city_id, st_project(p.position, random() * 200, random() * 2 * pi()) as position,
       1 + n %% 4 as priority, g.code as category, g.grp as category_group,
       t.id as team_id, t.organisation_id, r.id as room_id, r.organisation_id as room_organisation
from (select n, now() - interval '1 hour' - interval '90 days' * (1 - n::float8 / %(reports)s::int)
          as at from generate_series(1, %(reports)s::int) n) moments
join (select *, row_number() over (order by random()) as k from places) p
    on p.k = 1 + n %% (select count(*) from places)
join (values (0, 'catcalling', 'harassment'), (1, 'being_followed', 'pursuit'),
             (2, 'upskirting', 'image_exposure'), (3, 'unwanted_touching', 'contact'),
             (4, 'spiking_drink', 'spiking'), (5, 'poor_lighting', 'environment'),
             (6, 'near_miss', 'near_miss')) g (k, code, grp) on g.k = n %% 7
join (select *, row_number() over (order by id) as k from teams
      where kind = 'field' and not retired) t on t.k = 1 + n %% (%(teams)s::int - 1)
cross join lateral (select id, organisation_id from teams where kind = 'control_room' limit 1) r;

alter table story add incident_id uuid;
update story s set incident_id = whole.id
from (select n, sum(case when joined then 0 else 1 end) over (order by n) as number
      from story) numbered
join (select number, uuid_v7(min(at)) as id
      from (select at, sum(case when joined then 0 else 1 end) over (order by n) as number
            from story) one group by number) whole using (number)
where numbered.n = s.n;

-- The last of them are still open: nobody closes everything.
insert into incidents (id, city_id, category_groups, audience, exercise, position, opened_at,
                       last_at, priority, report_count, state, escalate_at, restarted_at, closed_at)
select distinct on (incident_id) incident_id, city_id, array[category_group], 'anybody', false,
       position, at, at, priority, 2, case when open then 'open' else 'closed' end, null, at,
       case when not open then at + interval '1 hour' end
from (select *, n > %(reports)s::int * 0.97 as open from story) s order by incident_id, n;

insert into reports (id, city_id, received_at, recorded_at, happened_estimated, happening, age_s,
                     categories, category_groups, perspective, in_danger, wants, needs, share_with,
                     language, position, radius_m, location_source, location_method, place_id,
                     area_id, cell_r7, cell_r9, mode, priority, urgency, severity, certainty,
                     reasons, routing, warnings, status, incident_id, joined, exercise)
select id, city_id, at, at, false, 'now', 0, array[category], array[category_group], 'experienced',
       priority = 1, '{}', '{}', '{}', 'en', position, 12, 'point', 'gnss', place_id, area_id,
       608296726157918207 + n %% 5000, 617303925412658175 + n %% 90000, 'bus', priority,
       'Immediate', 'Severe', 'Observed',
       '[{"code": "severity_floor", "params": {"severity": "Severe"}}, {"code": "happening_now"}]',
       jsonb_build_object('channels', '["console"]'::jsonb, 'modes', '["bus"]'::jsonb,
           'capabilities', '[]'::jsonb, 'shortfalls', '[]'::jsonb, 'choices', jsonb_build_array(
               jsonb_build_object('team_id', team_id, 'organisation_id', organisation_id,
                   'role', 'primary', 'rank', 1, 'told', 'now', 'distance_m', n %% 3000,
                   'reasons', '[{"code": "covers_area"}, {"code": "on_duty"}, {"code": "nearest"}]'
                       ::jsonb),
               jsonb_build_object('team_id', room_id, 'organisation_id', room_organisation,
                   'role', 'control_room', 'rank', 2, 'told', 'if_unanswered',
                   'reasons', '[{"code": "control_room"}]'::jsonb))),
       '[]', 'routed', incident_id, joined, false
from story;

insert into report_secrets (report_id, key_version, wrapped_key, narrative)
select id, 1, substring(bytes for 61), bytes || bytes || bytes || bytes
from (select id, sha256(uuid_send(id)) || sha256(uuid_send(incident_id)) as bytes from story) s;

insert into receipts (hash, report_id, key_version, created_at)
select sha256(uuid_send(id)), id, 1, at from story;

insert into alerts (id, incident_id, report_id, city_id, organisation_id, team_id, role, rank, state,
                    priority, distance_m, reasons, exercise, created_at, delivered_at, seen_at,
                    acknowledged_at, ended_at)
select uuid_v7(at), incident_id, id, city_id, organisation_id, team_id, 'primary', 1, 'closed',
       priority, n %% 3000,
       '[{"code": "covers_area"}, {"code": "on_duty"}, {"code": "nearest"}]'::jsonb,
       false, at, at, at, at, at + interval '1 hour'
from story where not joined
union all
select uuid_v7(at), incident_id, id, city_id, room_organisation, room_id, 'control_room', 2,
       'withdrawn', priority, null, '[{"code": "control_room"}]', false, at, at, null, null, at
from story where not joined and priority < 3;

insert into deliveries (alert_id, report_id, channel, message, priority, exercise, status, attempts,
                        created_at, attempted_at, sent_at)
select id, report_id, 'console', 'alert.created', priority, false, 'sent', 1, created_at, created_at,
       created_at from alerts;

insert into grants (report_id, organisation_id, cause, level, created_at, created_by)
select id, organisation_id, 'routing', 'full', at, 'routing' from story
union all
select id, room_organisation, 'oversight', 'full', at, 'oversight' from story;

insert into events (id, sequence, kind, at, city_id, organisation_id, report_id, incident_id,
                    alert_id, data)
select uuid_v7(at), row_number() over (order by at), kind, at, city_id, organisation_id, report_id,
       incident_id, alert_id, jsonb_build_object('priority', priority)
from (
    select 'report.received' as kind, at, city_id, null::uuid as organisation_id, id as report_id,
           null::uuid as incident_id, null::uuid as alert_id, priority from story
    union all
    select unnest(array['alert.created', 'alert.acknowledged', 'alert.closed']), created_at, city_id,
           organisation_id, report_id, incident_id, id, priority from alerts) told;
update event_sequencer set last = (select max(sequence) from events);

-- Keys are kept for 72 hours: those of the last 3 %% of 90 days.
insert into idempotency_keys (key_hash, fingerprint, report_id, answer, outcome, created_at)
select sha256(uuid_send(incident_id) || uuid_send(id)), sha256(uuid_send(id)), id,
       jsonb_build_object('answer', (select jsonb_agg(routing) from reports where reports.id = s.id)),
       '{"joined": false, "told": []}', at
from story s where n > %(reports)s::int * 0.967;

-- A worker that lives as long as the bench runs; nothing is delivered meanwhile.
insert into worker_heartbeats (worker_id, host, pid, started_at, beat_at)
values ('bench', 'bench', 0, now(), now() + interval '2 days');
