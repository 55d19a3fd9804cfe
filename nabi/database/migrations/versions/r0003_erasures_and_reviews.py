"""Requests to forget, what they deleted, what must not come back, and what a person decided about the set apart."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
DIGEST = sa.String(64)
NAME = sa.String(64)


def upgrade() -> None:
    _make_reviews()
    _make_erasures()
    _make_traces()


def downgrade() -> None:
    for table in ("retirements", "dataset_successors", "erasure_entries", "tombstones", "erasures"):
        op.drop_table(table)
    op.drop_index("ix_dataset_rows_sample_id", "dataset_rows")
    for column in ("decided_at", "decided_by", "decision"):
        op.drop_column("set_apart", column)


def _make_reviews() -> None:
    op.add_column("set_apart", sa.Column("decision", NAME))
    op.add_column("set_apart", sa.Column("decided_by", sa.Text()))
    op.add_column("set_apart", sa.Column("decided_at", MOMENT))
    _index("dataset_rows", "sample_id")


def _make_erasures() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("user_key", DIGEST),
        sa.Column("since", MOMENT),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("requested_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
        sa.CheckConstraint("kind IN ('delete', 'withdraw', 'drop')", name=op.f("ck_erasures_kind")),
        sa.CheckConstraint("state IN ('pending', 'emptied', 'done')", name=op.f("ck_erasures_state")),
        sqlite_autoincrement=True,
    )
    _index("erasures", "state")
    _index("erasures", "user_key")
    op.create_table(
        "tombstones",
        sa.Column("conversation_id", IDENTIFIER, nullable=False),
        sa.Column("erasure_id", sa.Integer(), nullable=False),
        sa.Column("said", DIGEST, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_tombstones"),
    )
    _index("tombstones", "said")
    _index("tombstones", "erasure_id")


def _make_traces() -> None:
    op.create_table(
        "erasure_entries",
        sa.Column("erasure_id", sa.Integer(), nullable=False),
        sa.Column("place", NAME, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("num", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("erasure_id", "place", "name", name="pk_erasure_entries"),
    )
    op.create_table(
        "dataset_successors",
        sa.Column("old_version", IDENTIFIER, nullable=False),
        sa.Column("new_version", IDENTIFIER),
        sa.Column("erasure_id", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("old_version", name="pk_dataset_successors"),
    )
    op.create_table(
        "retirements",
        sa.Column("adapter_version", IDENTIFIER, nullable=False),
        sa.Column("erasure_id", sa.Integer(), nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("num_conversations", sa.Integer(), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("adapter_version", "erasure_id", name="pk_retirements"),
    )
    _index("retirements", "persona_id")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
