"""Conversations say on what basis they may be learned from, whether a golden answer is in, and who else is quoted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("conversations", sa.Column("basis", sa.JSON()))
    op.add_column("conversations", sa.Column("golden", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("conversations", sa.Column("other_keys", sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    for column in ("other_keys", "golden", "basis"):
        op.drop_column("conversations", column)
