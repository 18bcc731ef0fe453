"""Entries say by which roles it was done; a lost second factor goes with the new password."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
alter table accounts add column totp_goes boolean not null default false;
grant update (totp_goes) on accounts to waylight_staff;
-- The factor stays until the invitation is accepted: whoever administers accounts takes none away.
revoke update (totp_secret, totp_since, totp_pending, recovery_hashes) on accounts
    from waylight_staff;

alter table audit_entries
    add column role text,
    add constraint ck_audit_entries_role
        check (role ~ '^[a-z][a-z_]{0,31}(,[a-z][a-z_]{0,31}){0,9}$');
""")


def downgrade() -> None:
    op.execute("""
alter table audit_entries drop column role;
grant update (totp_secret, totp_since, totp_pending, recovery_hashes) on accounts
    to waylight_staff;
alter table accounts drop column totp_goes;
""")
