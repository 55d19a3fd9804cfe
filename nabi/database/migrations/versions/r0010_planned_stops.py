"""Which runs a planned stop of the platform broke off."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "stops",
        sa.Column("run_id", IDENTIFIER, nullable=False),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("handed_back", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_stops"),
    )


def downgrade() -> None:
    op.drop_table("stops")
