"""Grants that are not consent are taken back too, and given again by whatever tells somebody anew.

Who sees a report is asked of `grants_of`, which is the second lock on the list. Whoever was shut
out of a report comes back to its incident by a new alert, and reads no note of others until then.
"""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

OF = """
-- All grants of a report that there are and were, as far as the organisation may know of them: its
-- own, those that its people gave by a hand-over, and to whoever oversees the report all but what
-- its passenger has with a support service.
create function grants_of(report uuid) returns table (
    organisation_id uuid, organisation text, cause text, level text, created_at timestamptz,
    created_by text, giver uuid, giver_organisation_id uuid, giver_organisation text,
    revoked_at timestamptz, revoked_by text, revoker uuid, revoker_organisation_id uuid,
    revoker_organisation text)
language sql stable security definer set search_path = public, pg_temp as $$
    with found as (
        select g.organisation_id, g.cause, g.level, g.created_at, g.created_by, g.revoked_at,
               g.revoked_by
        from grants g where g.report_id = report
        union all
        select p.organisation_id, p.cause, p.level, p.created_at, p.created_by, p.revoked_at,
               p.revoked_by
        from past_grants p where p.report_id = report)
    select f.organisation_id, o.name, f.cause, f.level, f.created_at, f.created_by, giver.id,
           giver.organisation_id, gave.name, f.revoked_at, f.revoked_by, revoker.id,
           revoker.organisation_id, took.name
    from found f
    join organisations o on o.id = f.organisation_id
    left join staff giver on giver.id = substring(f.created_by from '^staff:(.+)$')::uuid
    left join organisations gave on gave.id = giver.organisation_id
    left join staff revoker on revoker.id = substring(f.revoked_by from '^staff:(.+)$')::uuid
    left join organisations took on took.id = revoker.organisation_id
    where reads_as() <> 'analyst'
      and (f.organisation_id = acting_organisation()
           or f.cause = 'hand_over' and giver.organisation_id = acting_organisation()
           or not (f.cause = 'consent' and o.kind = 'support_service') and exists (
               select from grants ours
               where ours.report_id = report and ours.organisation_id = acting_organisation()
                 and ours.cause = 'oversight' and ours.revoked_at is null))
    order by f.created_at, o.name, f.cause, f.revoked_at
$$;

-- Whether the organisation was granted a report of an incident, and is no more.
create function organisation_is_shut_out(incident uuid) returns boolean
language sql stable security definer set search_path = public, pg_temp as $$
    with recursive line (id) as (
        select incident
        union
        select i.merged_into from incidents i join line on i.id = line.id
        where i.merged_into is not null)
    select exists (
        select from reports r join line on r.incident_id = line.id
        join grants g on g.report_id = r.id
        where g.organisation_id = acting_organisation() and g.cause <> 'consent'
          and g.revoked_at is not null
          and not exists (
              select from grants o
              where o.report_id = r.id and o.organisation_id = g.organisation_id
                and o.level = 'full' and o.revoked_at is null))
$$;
revoke execute on function grants_of(uuid), organisation_is_shut_out(uuid) from public;
grant execute on function grants_of(uuid), organisation_is_shut_out(uuid) to waylight_staff;

-- By this name the city says whose job a report is, and consent for the police finds its reader.
create function keep_job_names() returns trigger language plpgsql as $$
begin
    if current_user = 'waylight_staff' and exists (
        select from cities c cross join jsonb_array_elements(c.jurisdiction) j
        where c.id = new.city_id
          and (j->>'organisation' = new.name
               or old.kind = 'police' and j->>'organisation' = old.name))
    then
        raise check_violation using message =
            'the name by which reports are an organisation''s job is changed with the city';
    end if;
    return new;
end
$$;
create trigger organisations_keep_job_names before update of name on organisations
    for each row when (old.name is distinct from new.name) execute function keep_job_names();

alter table incident_notes drop constraint ck_incident_notes_kind;
alter table incident_notes add constraint ck_incident_notes_kind check (kind in ('note', 'decline',
    'close', 'hand_over', 'reopen', 'merge', 'split', 'revocation'));
"""

# What was taken back lifts nothing: a hub that is told now learns no story by what a team was told.
AGAIN = """level = case when grants.level = 'full' and grants.revoked_at is null then 'full'
                         else excluded.level end,
            created_at = case when grants.revoked_at is null then grants.created_at
                              else excluded.created_at end,
            created_by = case when grants.revoked_at is null then grants.created_by
                              else excluded.created_by end,
            revoked_at = null, revoked_by = null"""
ONE = "level = case when grants.level = 'full' then 'full' else excluded.level end"
ALL = "level = 'full'"
WORKED = "select exists (\n        select from alerts a join line"
WORKS = (
    "select not organisation_is_shut_out(incident) and exists (\n"
    "        select from alerts a join line"
)
REWORDED = (
    ("tell(reports, uuid, jsonb)", ONE, AGAIN),
    ("tell_more(reports, alerts, jsonb)", ONE, AGAIN),
    ("tell_of_all(reports, uuid, jsonb)", f"set {ALL})", f"set {AGAIN})"),
    ("organisation_works_on(uuid)", WORKED, WORKS),
)

# As in migration 0005: long functions of which only this changes.
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
    op.execute(OF)
    for function, old, new in REWORDED:
        op.execute(REWORD.format(function=function, old=old, new=new))


def downgrade() -> None:
    for function, old, new in REWORDED:
        op.execute(REWORD.format(function=function, old=new, new=old))
    op.execute(
        "drop trigger organisations_keep_job_names on organisations;"
        "drop function keep_job_names();"
        "drop function grants_of(uuid), organisation_is_shut_out(uuid);"
        "alter table incident_notes drop constraint ck_incident_notes_kind;"
        "update incident_notes set kind = 'note' where kind = 'revocation';"
        "alter table incident_notes add constraint ck_incident_notes_kind check (kind in ('note',"
        " 'decline', 'close', 'hand_over', 'reopen', 'merge', 'split'))"
    )
