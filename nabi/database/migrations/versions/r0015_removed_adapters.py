"""Adapter versions whose files were removed because nobody needs them any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "removed",
        sa.Column("adapter_version", IDENTIFIER, nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("adapter_version", name="pk_removed"),
    )
    op.create_index("ix_removed_persona_id", "removed", ["persona_id"])


def downgrade() -> None:
    op.drop_table("removed")
