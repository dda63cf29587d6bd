"""Which device an invite was spent by."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_29_spent_by"
down_revision = "2026_11_29_keeping"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("invite", sa.Column("spent_by", sa.String(), nullable=False, server_default=""))


def downgrade() -> None:
    op.drop_column("invite", "spent_by")
