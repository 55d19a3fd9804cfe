"""Candidates that get a share of the sessions, and versions that are never to be live again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
NAME = sa.String(64)


def upgrade() -> None:
    op.create_table(
        "rollouts",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("candidate", IDENTIFIER, nullable=False),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("share", sa.Integer(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollouts"),
        sa.CheckConstraint("state IN ('running', 'promoted', 'stopped')", name=op.f("ck_rollouts_state")),
        sa.CheckConstraint("share BETWEEN 0 AND 100", name=op.f("ck_rollouts_share")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_rollouts_persona_id_id", "rollouts", ["persona_id", "id"])
    op.create_table(
        "barred",
        sa.Column("adapter_version", IDENTIFIER, nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("adapter_version", name="pk_barred"),
    )
    op.create_index("ix_barred_persona_id", "barred", ["persona_id"])


def downgrade() -> None:
    op.drop_table("barred")
    op.drop_table("rollouts")
