"""Whether a phone's browser may clear what it keeps."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_keeping"
down_revision = "2026_11_28_closed"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("device", sa.Column("keeping", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("device", "keeping")
