"""Notices of requests to forget that wait, which concern no persona, and of adapters that learned from such words."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
# Written out and never changed again, whatever becomes of nabi/database/tables.py.
EVENT = (
    "event IN ('failed', 'rolled_back', 'trial_stopped', 'skipped_for_days', 'nothing_deployed', 'gave_up',"
    " 'deletion_waits', 'to_retire')"
)
EVENT_BEFORE = "event IN ('failed', 'rolled_back', 'trial_stopped', 'skipped_for_days', 'nothing_deployed', 'gave_up')"


def upgrade() -> None:
    _change(EVENT, persona_is_optional=True)


def downgrade() -> None:
    op.execute("DELETE FROM notices WHERE event IN ('deletion_waits', 'to_retire')")
    _change(EVENT_BEFORE, persona_is_optional=False)


def _change(events: str, *, persona_is_optional: bool) -> None:
    with op.batch_alter_table("notices") as batch:
        batch.drop_constraint(op.f("ck_notices_event"), type_="check")
        batch.create_check_constraint(op.f("ck_notices_event"), events)
        batch.alter_column("persona_id", existing_type=IDENTIFIER, nullable=persona_is_optional)
