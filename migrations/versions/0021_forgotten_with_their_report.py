"""What hangs on a report goes with it: what its grants were, and what support workers wrote.

A note that is written while consent is taken back is destroyed with the others.
"""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

# A grant is taken back, never deleted, and what it was never rewritten, as long as its report is.
KEPT = """
drop trigger past_grants_append_only on past_grants;
create or replace function keep_grants() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        if not exists (select from reports r where r.id = old.report_id) then
            return old;
        end if;
    end if;
    raise exception 'a grant is revoked, not deleted, and its past is kept as long as its report';
end
$$;
create trigger past_grants_append_only before update or delete on past_grants
    for each row execute function keep_grants();
create trigger past_grants_not_emptied before truncate on past_grants
    for each statement execute function keep_grants();
"""

FORGET = """
-- Forgets up to `most` of each: past grants and support cases whose report is no more, and cases
-- that were destroyed before an instant; how many. As the owner: the role that asks deletes none.
create function forget_with_reports(destroyed_before timestamptz, most integer) returns integer
language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare
    -- A month that is detached, say to be copied, is not gone: its reports come back with it.
    all_here constant boolean := not exists (
        select from pg_class c
        where c.relnamespace = 'public'::regnamespace and not c.relispartition
          and c.relname ~ '^reports_[0-9]{4}_[0-9]{2}$');
    past constant uuid[] := array(
        select p.id from past_grants p
        where not exists (select from reports r where r.id = p.report_id) and all_here
        order by p.id limit most);
    cases constant uuid[] := array(
        select c.id from support_cases c
        where c.destroyed_at < destroyed_before
           or not exists (select from reports r where r.id = c.report_id) and all_here
        order by c.id limit most);
begin
    delete from past_grants where id = any (past);
    delete from support_notes where case_id = any (cases);
    delete from support_cases where id = any (cases);
    return cardinality(past) + cardinality(cases);
end
$$;
revoke execute on function forget_with_reports(timestamptz, integer) from public;
grant execute on function forget_with_reports(timestamptz, integer) to waylight_intake;
"""

DESTROY = """
create or replace function destroy_support(report uuid, organisation uuid, at timestamptz)
returns uuid[] language plpgsql volatile as $$
declare
    gone uuid[];
    had uuid[];
begin
    {wait}with ended as (
        update support_cases c set wrapped_key = null, destroyed_at = destroy_support.at
        where c.report_id = report and c.organisation_id = coalesce(organisation, c.organisation_id)
          and c.wrapped_key is not null
        returning c.id, c.organisation_id)
    select coalesce(array_agg(id), '{{}}'), coalesce(array_agg(organisation_id), '{{}}')
    into gone, had from ended;
    delete from support_notes n where n.case_id = any (gone);
    insert into events (kind, at, city_id, organisation_id, report_id, exercise)
    select 'support.erased', destroy_support.at, r.city_id, o.id, r.id, r.exercise
    from unnest(had) o (id) join reports r on r.id = report;
    return had;
end
$$;
"""

WAIT = """-- Whoever is writing a note of this report is done then, and nobody begins another.
    perform pg_advisory_xact_lock(hashtextextended('support:' || report::text, 0));
    """


def upgrade() -> None:
    op.execute(KEPT)
    op.execute(FORGET)
    op.execute(DESTROY.format(wait=WAIT))


def downgrade() -> None:
    op.execute(DESTROY.format(wait=""))
    op.execute(
        "drop function forget_with_reports(timestamptz, integer);"
        "drop trigger past_grants_not_emptied on past_grants;"
        "drop trigger past_grants_append_only on past_grants;"
        "create or replace function keep_grants() returns trigger language plpgsql as $$ begin"
        " raise exception 'a grant is revoked, not deleted, and its past is kept'; end $$;"
        "create trigger past_grants_append_only before update or delete or truncate on past_grants"
        " for each statement execute function keep_grants()"
    )
