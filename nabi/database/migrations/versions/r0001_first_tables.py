"""First tables: conversations, lineage, windows, trainings and the append-only ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Written out and never changed again, whatever becomes of nabi/database/tables.py.
IDENTIFIER = sa.String(200).with_variant(sa.String(200, collation="C"), "postgresql")
MOMENT = sa.DateTime(timezone=True)
DIGEST = sa.String(64)
NAME = sa.String(64)


def upgrade() -> None:
    _make_conversations()
    _make_lineage()
    _make_windows()
    _make_ledger()


def downgrade() -> None:
    for table in ("ledger", "trainings", "windows", "dataset_rows", "learned", "set_apart", "conversations"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION refuse_ledger_change()")


def _make_conversations() -> None:
    op.create_table(
        "conversations",
        sa.Column("conversation_id", IDENTIFIER, nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("source", NAME, nullable=False),
        sa.Column("occurred_at", MOMENT, nullable=False),
        sa.Column("messages", sa.JSON(), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("user_key", DIGEST),
        sa.Column("consent_training", sa.Boolean(), nullable=False),
        sa.Column("consent_given_at", MOMENT),
        sa.Column("consent_withdrawn_at", MOMENT),
        sa.Column("consent_guardian", sa.Boolean()),
        sa.Column("kind", sa.Text()),
        sa.Column("feedback", sa.Float()),
        sa.Column("adapter_version", IDENTIFIER),
        sa.Column("style_tags", sa.JSON(), nullable=False),
        sa.Column("safety_flags", sa.JSON(), nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("received_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", name="pk_conversations"),
    )
    _index("conversations", "persona_id", "occurred_at", "conversation_id")
    _index("conversations", "user_key")
    op.create_table(
        "set_apart",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("digest", DIGEST, nullable=False),
        sa.Column("persona_id", IDENTIFIER),
        sa.Column("conversation_id", IDENTIFIER),
        sa.Column("user_key", DIGEST),
        sa.Column("source", NAME, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text()),
        sa.Column("window", MOMENT),
        sa.Column("set_apart_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_set_apart"),
        sa.UniqueConstraint("digest", name=op.f("uq_set_apart_digest")),
    )
    _index("set_apart", "persona_id", "id")
    _index("set_apart", "conversation_id")
    _index("set_apart", "user_key")


def _make_lineage() -> None:
    op.create_table(
        "learned",
        sa.Column("conversation_id", IDENTIFIER, nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("adapter_version", IDENTIFIER, nullable=False),
        sa.Column("dataset_version", IDENTIFIER, nullable=False),
        sa.Column("learned_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("conversation_id", "persona_id", name="pk_learned"),
    )
    _index("learned", "adapter_version")
    op.create_table(
        "dataset_rows",
        sa.Column("dataset_version", IDENTIFIER, nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("sample_id", IDENTIFIER, nullable=False),
        sa.Column("conversation_id", IDENTIFIER, nullable=False),
        sa.Column("part", NAME, nullable=False),
        sa.PrimaryKeyConstraint("dataset_version", "persona_id", "sample_id", name="pk_dataset_rows"),
        sa.CheckConstraint("part IN ('train', 'holdout', 'anchor')", name=op.f("ck_dataset_rows_part")),
    )
    _index("dataset_rows", "conversation_id")


def _make_windows() -> None:
    op.create_table(
        "windows",
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("as_of", MOMENT, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("dataset_version", IDENTIFIER),
        sa.Column("adapter_version", IDENTIFIER),
        sa.Column("mlflow_run_id", IDENTIFIER),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("persona_id", "as_of", name="pk_windows"),
        sa.CheckConstraint(
            "state IN ('running', 'deployed', 'kept', 'skipped', 'failed')", name=op.f("ck_windows_state")
        ),
    )
    _index("windows", "dataset_version")
    _index("windows", "adapter_version")
    op.create_table(
        "trainings",
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("as_of", MOMENT, nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("persona_id", "as_of", name="pk_trainings"),
    )


def _make_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("persona_id", IDENTIFIER, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("action", NAME, nullable=False),
        sa.Column("champion", IDENTIFIER, nullable=False),
        sa.Column("previous", IDENTIFIER),
        sa.Column("digest", sa.String(128), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.CheckConstraint("action IN ('deploy', 'rollback', 'promote')", name=op.f("ck_ledger_action")),
        sqlite_autoincrement=True,
    )
    _index("ledger", "persona_id", "id")
    _refuse_ledger_changes(op.get_bind().dialect.name)


def _refuse_ledger_changes(dialect: str) -> None:
    """A ledger that could be rewritten would prove nothing, so the database itself refuses."""
    if dialect == "postgresql":
        op.execute(
            "CREATE FUNCTION refuse_ledger_change() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE ON ledger "
            "FOR EACH ROW EXECUTE FUNCTION refuse_ledger_change()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER ledger_no_{change.lower()} BEFORE {change} ON ledger "
            "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
        )


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns))
