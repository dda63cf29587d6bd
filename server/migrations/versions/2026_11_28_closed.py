"""An index of the closed households alone."""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_28_closed"
down_revision = "2026_11_23_first"
branch_labels = None
depends_on = None

IS_CLOSED: sa.ColumnClause[bool] = sa.literal_column("""kind = 'household' AND fields LIKE '%"is_closed":true%'""")


def upgrade() -> None:
    op.create_index(
        "record_closed", "record", ["community_id", "record_id"], sqlite_where=IS_CLOSED, postgresql_where=IS_CLOSED
    )


def downgrade() -> None:
    op.drop_index("record_closed", "record")
