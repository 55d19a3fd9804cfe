"""Windows whose run somebody cancelled."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
STATE = "state IN ('running', 'deployed', 'won', 'kept', 'skipped', 'failed', 'cancelled')"
STATE_BEFORE = "state IN ('running', 'deployed', 'won', 'kept', 'skipped', 'failed')"


def upgrade() -> None:
    with op.batch_alter_table("windows") as batch:
        batch.drop_constraint(op.f("ck_windows_state"), type_="check")
        batch.create_check_constraint(op.f("ck_windows_state"), STATE)


def downgrade() -> None:
    op.execute("UPDATE windows SET state = 'failed' WHERE state = 'cancelled'")
    with op.batch_alter_table("windows") as batch:
        batch.drop_constraint(op.f("ck_windows_state"), type_="check")
        batch.create_check_constraint(op.f("ck_windows_state"), STATE_BEFORE)
