"""Windows of a replay of the past, beside those of the live line."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
STATE = "state IN ('running', 'deployed', 'won', 'kept', 'skipped', 'failed')"
STATE_BEFORE = "state IN ('running', 'deployed', 'kept', 'skipped', 'failed')"
LINE = "line IN ('live', 'replay')"


def upgrade() -> None:
    with op.batch_alter_table("windows") as batch:
        batch.drop_constraint("pk_windows", type_="primary")
        batch.drop_constraint(op.f("ck_windows_state"), type_="check")
        batch.add_column(sa.Column("line", sa.String(64), nullable=False, server_default="live"))
        batch.create_primary_key("pk_windows", ["persona_id", "as_of", "line"])
        batch.create_check_constraint(op.f("ck_windows_state"), STATE)
        batch.create_check_constraint(op.f("ck_windows_line"), LINE)


def downgrade() -> None:
    op.execute("DELETE FROM windows WHERE line <> 'live'")
    with op.batch_alter_table("windows") as batch:
        batch.drop_constraint("pk_windows", type_="primary")
        batch.drop_constraint(op.f("ck_windows_line"), type_="check")
        batch.drop_constraint(op.f("ck_windows_state"), type_="check")
        batch.drop_column("line")
        batch.create_primary_key("pk_windows", ["persona_id", "as_of"])
        batch.create_check_constraint(op.f("ck_windows_state"), STATE_BEFORE)
