"""Who works on what at this moment (one run a persona), and where runs were killed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", IDENTIFIER, nullable=False),
        sa.Column("holder", IDENTIFIER),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("born", sa.Text(), nullable=False),
        sa.Column("doing", sa.Text(), nullable=False),
        sa.Column("acquired_at", MOMENT, nullable=False),
        sa.Column("beat_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    op.create_table(
        "crashes",
        sa.Column("run_id", IDENTIFIER, nullable=False),
        sa.Column("crashed_at", MOMENT, nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "crashed_at", name="pk_crashes"),
    )


def downgrade() -> None:
    op.drop_table("crashes")
    op.drop_table("leases")
