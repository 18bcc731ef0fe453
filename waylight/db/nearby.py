"""The one read of a submit (design, D2): place, areas, candidate teams, open hubs, a living worker.

Every distance is on `geography`. Nothing here decides: it returns facts to `domain/routing`.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

CANDIDATES = 12
HUBS = 8
PLACE_WITHIN_M = 250.0
"""A named place further than this says nothing about where the passenger is."""

SPOT = """
    select s.ordinality::int - 1 as source_index, stop.id as stop_place_id,
           (select max(st_distance(twin.position, stop.position, false)) from places twin
            where twin.stop_id = s.value->>'stop_id') as spread_m,
           coalesce(stop.position, fix.position) as position
    from jsonb_array_elements(q.sources) with ordinality s
    cross join lateral (
        select st_setsrid(st_makepoint((s.value->>'lon')::float8, (s.value->>'lat')::float8),
                          4326)::geography as position) fix
    left join lateral (
        -- Stop ids repeat in real data: the twin nearest the phone's own fix is meant.
        select p.id, p.position from places p
        where p.stop_id = s.value->>'stop_id' or p.codes @> array[s.value->>'stop_id']
           or p.id = (s.value->>'place_id')::uuid
        order by (p.stop_id = s.value->>'stop_id') desc nulls last,
                 st_distance(p.position, (
                     select st_setsrid(st_makepoint((f->>'lon')::float8, (f->>'lat')::float8),
                                       4326)::geography
                     from jsonb_array_elements(q.sources) f
                     where f->>'lon' is not null limit 1), false), p.id
        limit 1) stop on s.value->>'stop_id' is not null
    where coalesce(stop.position, fix.position) is not null
    order by s.ordinality limit 1
"""

PLACE = """
    select p.id, coalesce(p.stop_id, 'place:' || p.id) as ref, p.name, p.demo, p.kind, p.modes,
           0.0::float8 as distance_m
    from places p where p.id = spot.stop_place_id
    union all
    select * from (
        select p.id, coalesce(p.stop_id, 'place:' || p.id), p.name, p.demo, p.kind, p.modes,
               st_distance(p.position, spot.position, false) as distance_m
        from places p
        where spot.stop_place_id is null
          and st_dwithin(p.position, spot.position, %(place_within_m)s, false)
        order by (p.kind = 'station' and st_distance(p.position, spot.position, false)
                                         <= %(station_m)s) desc, distance_m
        limit 1) nearest
"""

TEAMS = """
    select jsonb_agg(to_jsonb(ranked)) as found from (
        select one_each.*, engaged.elsewhere from (
            select distinct on (t.id) t.id as team_id, t.name, o.id as organisation_id,
                o.name as organisation, o.kind as organisation_kind, o.escalation,
                able.capabilities, t.demo,
                case when t.duty_until <= q.at then 'available' else t.duty_status end
                    as duty_status,
                case when t.duty_until > q.at then t.duty_until end as duty_until,
                t.shifts, t.expanded_until,
                -- Only for a horizon that ran out: on duty is what was expanded.
                case when coalesce(t.expanded_until < q.at, true) then (
                    select jsonb_agg(to_jsonb(h) order by h.id) from shifts h
                    where h.team_id = t.id and coalesce(h.ends_at > q.at, true)) end as set_shifts,
                coalesce(t.on_shift_during @> q.at, false) as on_shift,
                c.schedule, c.expanded_until as schedule_expanded_until,
                coalesce(c.active_during @> q.at, c.schedule is null) as active,
                round(st_distance(spot.position, here.position, false))::int as distance_m,
                here.age_s as position_age_s, here.fresh as position_fresh, a.name as area
            from coverages c
            join teams t on t.id = c.team_id
            join organisations o on o.id = t.organisation_id
            join areas a on a.id = c.area_id
            cross join lateral (
                select fresh, case when fresh then t.position else t.base end as position,
                       -- greatest() takes null for nothing: a team that is nowhere was 0 s old.
                       case when t.position_at is not null
                           then greatest(extract(epoch from q.at - t.position_at)::int, 0) end
                           as age_s
                -- One from the time to come was written while a clock was wrong.
                from (select coalesce(t.position_at > q.at - interval '15 minutes'
                                      and t.position_at < q.at + interval '2 minutes', false)
                          as fresh) f) here
            cross join lateral (
                select case when t.staff_capabilities is null then t.capabilities
                            else array(select held.key
                                       from jsonb_each_text(t.staff_capabilities) held
                                       where coalesce(held.value::timestamptz > q.at, true))
                       end as capabilities) able
            where c.area_id = any (inside.area_ids)
              and t.kind = 'field' and not t.retired
              and (c.modes is null or c.modes && travel.modes)
              and (c.routes is null or c.routes @> array[q.route_id])
              and (c.category_groups is null or c.category_groups && q.groups)
              and (q.allows_police or o.kind <> 'police')
              and t.id <> all (q.excluded)
            order by t.id, active desc, a.kind = 'service_area', a.id) one_each
        cross join lateral (
            select exists (
                select from engagements work join incidents i on i.id = work.incident_id
                where work.team_id = one_each.team_id
                  -- What nobody has closed for half a day was forgotten.
                  and work.since > q.at - interval '12 hours'
                  and (q.exercise or not work.exercise)
                  -- The same event, or one next to it, is none elsewhere.
                  and not coalesce(st_dwithin(i.position, spot.position, %(link_m)s, false), false)
                  and not coalesce(i.vehicle = q.vehicle, false)) as elsewhere) engaged
        -- The order of domain/routing.choose, so that the cut never drops the best.
        order by (duty_status <> 'off' and active
                  and (on_shift or duty_until is not null
                       or coalesce(expanded_until < q.at, true))) desc,
                 (select count(*) from unnest(q.capabilities) wanted
                  where wanted <> all (capabilities)),
                 (q.prefers_police and organisation_kind <> 'police'),
                 (duty_status = 'busy' or elsewhere), distance_m, team_id
        limit %(candidates)s) ranked
"""

HUBS_OPEN = """
    select jsonb_agg(to_jsonb(near)) as found from (
        select h.id, h.name, h.organisation_id, o.name as organisation, h.services, h.access,
               h.demo, h.opening_hours, h.expanded_until, h.mobile, h.position_at,
               st_x(h.position::geometry) as lon, st_y(h.position::geometry) as lat,
               st_distance(h.position, spot.position) as distance_m,
               (select upper(r) from unnest(h.open_during) r where r @> q.at) as open_until
        from hubs h join organisations o on o.id = h.organisation_id
        where spot.position is not null and not h.retired
          and st_dwithin(h.position, spot.position, %(hub_within_m)s, false)
          and (coalesce(h.open_during @> q.at, false) or coalesce(h.expanded_until < q.at, true))
        order by h.position <-> spot.position
        limit %(hubs)s) near
"""

SURROUNDINGS = f"""
select q.n, spot.source_index, spot.spread_m,
       st_x(spot.position::geometry) as lon, st_y(spot.position::geometry) as lat,
       place.id as place_id, place.ref as place_ref, place.name as place_name,
       place.demo as place_demo, travel.modes,
       inside.area_codes, inside.city_id, inside.area_id,
       coalesce(inside.in_service_area, false) as in_service_area,
       coalesce(teams.found, '[]') as teams, coalesce(hubs.found, '[]') as hubs,
       array(select s->>'stop_id' from jsonb_array_elements(q.sources) s
             where exists (select from places p where p.stop_id = s->>'stop_id'
                                                   or p.codes @> array[s->>'stop_id']
                                                   or p.id = (s->>'place_id')::uuid)
      ) as known_stops,
       exists (select from worker_heartbeats where beat_at > q.at - interval '15 seconds')
           as worker_alive,
       (select coalesce(sum(c.version + coalesce(room.version, 0)), 0)::bigint
        from cities c left join teams room on room.id = c.control_room_id) as cities_version
from jsonb_to_recordset(%(queries)s) as q(
    n int, at timestamptz, sources jsonb, modes text[], route_id text, groups text[],
    capabilities text[], allows_police boolean, prefers_police boolean, excluded uuid[],
    exercise boolean, vehicle text)
left join lateral ({SPOT}) spot on true
left join lateral ({PLACE}) place on true
left join lateral (
    select case
        when q.modes is not null then q.modes
        when spot.position is null then null
        when place.kind = 'station' and place.distance_m <= %(station_m)s then place.modes
        when place.id = spot.stop_place_id then place.modes
        else array['street'] end as modes) travel on true
left join lateral (
    -- What an organisation drew says whom it covers, and nothing of where a report is.
    select array_agg(a.id) as area_ids,
           array_agg(a.code) filter (where a.organisation_id is null) as area_codes,
           (array_agg(c.id order by a.code = c.service_area_code desc,
                                    a.organisation_id is not null, a.id))[1] as city_id,
           (array_agg(a.id order by a.kind = 'borough' desc, a.kind = 'river_margin' desc, a.id)
                filter (where a.organisation_id is null))[1] as area_id,
           bool_or(a.code = c.service_area_code) as in_service_area
    from areas a join cities c on c.id = a.city_id
    where a.id in (select part.area_id from area_parts part
                   where st_covers(part.geom, spot.position::geometry))) inside on true
left join lateral ({TEAMS}) teams on true
left join lateral ({HUBS_OPEN}) hubs on true
order by q.n
"""  # noqa: S608 - constants of this file; every value is a parameter


def surroundings(
    conn: Connection[Any],
    queries: Sequence[Mapping[str, Any]],
    *,
    station_m: float,
    hub_within_m: float,
    link_m: float,
) -> list[dict[str, Any]]:
    """One row of facts for each query, in order.

    A query is {n, at, sources: [{lon, lat} | {stop_id}], modes, route_id, groups, capabilities,
    allows_police, prefers_police, excluded, exercise, vehicle}. A report without a usable source
    gets a row of nulls with empty `teams` and `hubs`. Distances in metres: teams on the sphere,
    hubs on the spheroid. A team is `elsewhere` when it is on its way to or at another incident,
    further off than `link_m` and not in the same vehicle.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            SURROUNDINGS,
            values(queries, station_m=station_m, hub_within_m=hub_within_m, link_m=link_m),
        )
        return cursor.fetchall()


def values(
    queries: Sequence[Mapping[str, Any]],
    *,
    station_m: float,
    hub_within_m: float,
    link_m: float,
) -> dict[str, Any]:
    """The parameters of SURROUNDINGS."""
    return {
        "queries": Jsonb(list(queries)),
        "station_m": station_m,
        "place_within_m": PLACE_WITHIN_M,
        "candidates": CANDIDATES,
        "hubs": HUBS,
        "hub_within_m": hub_within_m,
        "link_m": link_m,
    }


# What was last said of the vehicle: a report from further along says more.
RIDE = """
    select ride.route_id, ride.direction, ride.vehicle_id, ride.boarded_stop_id, ride.next_stop_id,
           ride.happening, ride.recorded_at, ride.location_source, ride.radius_m,
           st_x(ride.position::geometry) as lon, st_y(ride.position::geometry) as lat,
           coalesce(p.stop_id, 'place:' || p.id) as place_ref
    from reports ride left join places p on p.id = ride.place_id
    where ride.incident_id = i.id and ride.route_id is not null and ride.withdrawn_at is null
    order by ride.recorded_at desc, ride.id desc limit 1"""

STANDING = f"""
select i.city_id, i.category_groups, i.priority, i.exercise, i.vehicle,
       st_x(i.position::geometry) as lon, st_y(i.position::geometry) as lat, r.route_id,
       r.routing->'modes' as modes, r.routing->'capabilities' as capabilities,
       r.routing->'facts' as facts, (select to_jsonb(ride) from ({RIDE}) ride) as ride,
       array(select a.team_id from alerts a
             where a.incident_id = i.id and a.team_id is not null
               and a.state not in ('withdrawn', 'expired')
               -- A team that declined or closed a lesser report is asked again about a graver one.
               and not coalesce(a.ended_at < i.restarted_at, false)) as excluded,
       -- All teams of the organisations that have said that it is not theirs to deal with.
       array(select t.id from teams t where t.organisation_id in (
             select a.organisation_id from alerts a
             where a.incident_id = i.id and a.state = 'declined' and a.outcome = 'not_ours'
               and not coalesce(a.ended_at < i.restarted_at, false))) as not_ours,
       (select case when a.outcome = 'not_ours' then t.name end
        from alerts a join teams t on t.id = a.team_id
        where a.incident_id = i.id and a.state = 'declined'
          and not exists (select from alerts l
                          where l.incident_id = i.id and l.team_id is not null
                            and l.created_at >= a.ended_at)
        order by a.ended_at desc, a.id desc limit 1) as not_ours_to,
       (select coalesce(max(a.rank), 0) from alerts a
        where a.incident_id = i.id and a.team_id is not null) as rungs
from incidents i
join lateral (
    select r.route_id, r.routing from reports r where r.incident_id = i.id
    order by r.priority, r.id limit 1) r on true
where i.id = %(incident)s
"""  # noqa: S608 - constants of this file


def standing(conn: Connection[Any], incident_id: UUID) -> dict[str, Any] | None:
    """Where an incident's ladder stands: its place, what its gravest report needs, who was told.

    `ride` is what its latest report says of a vehicle. `facts` and `capabilities` are those kept in
    `reports.routing`; `excluded` are the teams that have it before them or have answered it. One
    that was only stood down may be told again. `not_ours` are the teams of organisations that said
    so, `not_ours_to` is the team that has just said it: the next one is told because of that.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(STANDING, {"incident": incident_id}).fetchone()
