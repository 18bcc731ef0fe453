"""Sessions that are long over are forgotten, which only the owner of keys can do."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

FORGET = """
-- Forgets up to `most` sessions that were over before an instant; how many. As the owner: the role
-- that asks takes no key away. One whose device is still sent to is left.
create function forget_sessions(before timestamptz, most integer) returns integer
language plpgsql volatile security definer set search_path = public, pg_temp as $$
declare
    gone constant uuid[] := array(
        select s.id from sessions s join api_keys k on k.id = s.id
        where least(k.revoked_at, k.expires_at) < before
          and not exists (select from addresses a where a.api_key_id = s.id and a.state <> 'gone')
        order by s.id limit most);
begin
    update addresses set api_key_id = null where api_key_id = any (gone);
    delete from api_keys where id = any (gone);
    return cardinality(gone);
end
$$;
revoke execute on function forget_sessions(timestamptz, integer) from public;
grant execute on function forget_sessions(timestamptz, integer) to waylight_intake;
"""


def upgrade() -> None:
    op.execute(FORGET)


def downgrade() -> None:
    op.execute("drop function forget_sessions(timestamptz, integer)")
