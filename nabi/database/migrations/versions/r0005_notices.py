"""What a person must hear of, and whether it reached them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "notices",
        sa.Column("id", IDENTIFIER, nullable=False),
        sa.Column("event", sa.String(64), nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("num_tries", sa.Integer(), nullable=False),
        sa.Column("next_try_at", MOMENT, nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.Column("delivered_at", MOMENT),
        sa.Column("given_up_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_notices"),
        sa.CheckConstraint(
            "event IN ('failed', 'rolled_back', 'skipped_for_days', 'nothing_deployed', 'gave_up')",
            name=op.f("ck_notices_event"),
        ),
    )
    op.create_index("ix_notices_delivered_at_given_up_at_next_try_at", "notices", _DUE)
    op.create_index("ix_notices_at", "notices", ["at"])


_DUE = ["delivered_at", "given_up_at", "next_try_at"]


def downgrade() -> None:
    op.drop_table("notices")
