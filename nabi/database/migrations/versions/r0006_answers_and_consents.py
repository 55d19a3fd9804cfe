"""What people allow, and what is known of each answer without a word of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
DIGEST = sa.String(64)
NAME = sa.String(64)


def upgrade() -> None:
    op.create_table(
        "consents",
        sa.Column("user_key", DIGEST, nullable=False),
        sa.Column("training", sa.Boolean(), nullable=False),
        sa.Column("given_at", MOMENT),
        sa.Column("withdrawn_at", MOMENT),
        sa.Column("guardian", sa.Boolean()),
        sa.PrimaryKeyConstraint("user_key", name="pk_consents"),
    )
    op.create_table(
        "answers",
        sa.Column("answer_id", IDENTIFIER, nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("adapter_version", IDENTIFIER),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("num_prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("num_tokens", sa.Integer(), nullable=False),
        sa.Column("num_chars", sa.Integer(), nullable=False),
        sa.Column("ended", NAME, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("seconds_to_first", sa.Float(), nullable=False),
        sa.Column("violations", sa.JSON(), nullable=False),
        sa.Column("reaction", sa.Float()),
        sa.Column("reacted_at", MOMENT),
        sa.PrimaryKeyConstraint("answer_id", name="pk_answers"),
    )
    op.create_index("ix_answers_persona_id_at", "answers", ["persona_id", "at"])
    op.create_index("ix_answers_adapter_version", "answers", ["adapter_version"])


def downgrade() -> None:
    op.drop_table("answers")
    op.drop_table("consents")
