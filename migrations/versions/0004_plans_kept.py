"""The functions of the one write keep their plans.

PostgreSQL before 18 parses and plans the body of an SQL function anew in every statement that calls
it, unless it can be inlined; PL/pgSQL keeps the plan for the session. It does so only where a plan
for any value looks as cheap as one made for these values, and one that has pruned the partitions
always looks cheaper: hence `plan_cache_mode`.

And a trap: of an incident's alerts that are at work the planner expects none or one in all, so it
walked through every such alert of every incident by the index that is there for the inbox. Asked
for those that are over, and no others, it takes the index on the incident.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

AT_WORK = ("a.state in", "('pending', 'delivered', 'acknowledged', 'en_route', 'on_scene')")
NOT_OVER = ("a.state not in", "('closed', 'declined', 'expired', 'withdrawn')")
BETWEEN = (" ", "\n                    ")
"""What stands between the two words in `route`, here and there."""

OPEN_INCIDENT = """
    select i{whole} from incidents i
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
    for update{end}
"""

UUID = """encode(overlay(uuid_send(gen_random_uuid())
        placing substring(int8send(us / 1000) from 3)
                || int2send((28672 + (us % 1000) * 4096 / 1000)::int2)
        from 1 for 8), 'hex')::uuid"""

KEPT = f"""
create or replace function uuid_v7(at timestamptz default clock_timestamp()) returns uuid
language plpgsql volatile parallel safe as $$
declare
    us constant bigint := floor(extract(epoch from at) * 1000000);
begin
    return {UUID};
end
$$;

create or replace function open_incident(report reports, link jsonb) returns incidents
language plpgsql volatile as $$
declare
    found incidents;
begin
    {OPEN_INCIDENT.format(whole=".* into found", end=";").strip()}
    return found;
end
$$;

alter function submit_reports(jsonb) set plan_cache_mode = force_generic_plan;
"""

MADE_ANEW = f"""
alter function submit_reports(jsonb) reset plan_cache_mode;

create or replace function open_incident(report reports, link jsonb) returns incidents
language sql volatile as $${OPEN_INCIDENT.format(whole="", end="")}$$;

create or replace function uuid_v7(at timestamptz default clock_timestamp()) returns uuid
language sql volatile parallel safe as $$
    select {UUID}
    from (select floor(extract(epoch from at) * 1000000)::bigint as us) since_1970
$$;
"""  # noqa: S608 - constants of this file

# `route` is long and only this test changes; the function itself is the text to change.
REWORD = """
do $reword$
declare
    written constant text := pg_get_functiondef('route(reports, jsonb)'::regprocedure);
    reworded constant text := replace(replace(written, $a${old[0]}$a$, $b${new[0]}$b$),
                                      $a${old[1]}$a$, $b${new[1]}$b$);
begin
    if reworded = written then
        raise exception 'route() is not as the migration before left it';
    end if;
    execute reworded;
end
$reword$;
"""


def _reword(old: tuple[str, str], new: tuple[str, str]) -> str:
    return REWORD.format(
        old=[between.join(old) for between in BETWEEN],
        new=[between.join(new) for between in BETWEEN],
    )


def upgrade() -> None:
    op.execute(KEPT)
    op.execute(_reword(AT_WORK, NOT_OVER))


def downgrade() -> None:
    op.execute(_reword(NOT_OVER, AT_WORK))
    op.execute(MADE_ANEW)
