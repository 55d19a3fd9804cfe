"""Samples that are answers marked bad: a part of a dataset beside train, holdout and anchors."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
PART = "part IN ('train', 'holdout', 'anchor', 'preference')"
PART_BEFORE = "part IN ('train', 'holdout', 'anchor')"


def upgrade() -> None:
    _allow(PART)


def downgrade() -> None:
    op.execute("DELETE FROM dataset_rows WHERE part = 'preference'")
    _allow(PART_BEFORE)


def _allow(parts: str) -> None:
    with op.batch_alter_table("dataset_rows") as batch:
        batch.drop_constraint(op.f("ck_dataset_rows_part"), type_="check")
        batch.create_check_constraint(op.f("ck_dataset_rows_part"), parts)
