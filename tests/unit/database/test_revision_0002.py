from __future__ import annotations

from revisions import downgrade
from sqlalchemy import text

from nabi.conversations.records import Consent
from nabi.conversations.store import ConversationStore
from nabi.database.engine import Database
from nabi.database.schema import migrate

OLD_ROW = """
INSERT INTO conversations (conversation_id, persona_id, source, occurred_at, messages, facts, consent_training,
  style_tags, safety_flags, digest, received_at)
VALUES ('c1', 'p', 'chat', '2026-07-01 00:00:00', '[{"role": "user", "content": "네"}]', '[]', true, '[]', '[]',
  'd', '2026-07-01 00:00:00')
"""


def test_what_was_stored_before_has_no_basis_no_golden_answer_and_quotes_nobody(database: Database) -> None:
    with database.write() as session:
        connection = session.connection()
        downgrade(connection, "0001")
        connection.execute(text(OLD_ROW))
        migrate(connection)
    conversation = ConversationStore(database).get("c1")
    assert conversation is not None
    assert (conversation.basis, conversation.golden, conversation.other_keys) == (None, False, ())
    assert conversation.consent == Consent(training=True)
