"""${message}."""
<%
    written = f"{upgrades or ''}{downgrades or ''}"
%>
% if "sa." in written:
import sqlalchemy as sa
% endif
from alembic import op
${imports if imports else ""}
revision = "${up_revision}"
down_revision = ${'"%s"' % down_revision if isinstance(down_revision, str) else repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
