"""Notices of a candidate whose trial the watch ended."""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
EVENT = "event IN ('failed', 'rolled_back', 'trial_stopped', 'skipped_for_days', 'nothing_deployed', 'gave_up')"
EVENT_BEFORE = "event IN ('failed', 'rolled_back', 'skipped_for_days', 'nothing_deployed', 'gave_up')"


def upgrade() -> None:
    _allow(EVENT)


def downgrade() -> None:
    op.execute("DELETE FROM notices WHERE event = 'trial_stopped'")
    _allow(EVENT_BEFORE)


def _allow(events: str) -> None:
    with op.batch_alter_table("notices") as batch:
        batch.drop_constraint(op.f("ck_notices_event"), type_="check")
        batch.create_check_constraint(op.f("ck_notices_event"), events)
