"""What people allow, asked for before anything that they say is kept."""

from __future__ import annotations

from datetime import datetime

from nabi.conversations.records import Consent
from nabi.conversations.sources.fields import AGE_OF_OWN_CONSENT
from nabi.database.engine import Database
from nabi.database.tables import ConsentRow

NOTHING = Consent()
"""What is allowed by a person who was never asked."""


class Consents:
    """The consent of each person, by the keyed hash of their id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, user_key: str) -> Consent:
        """What a person allows now; nothing when they never said."""
        with self._database.read() as session:
            row = session.get(ConsentRow, user_key)
            return _consent(row) if row else NOTHING

    def give(self, user_key: str, at: datetime, *, guardian: bool | None = None, age: int | None = None) -> Consent:
        """A person allows training as of `at`; the same again changes nothing.

        Args:
            guardian: a guardian agreed. Below 14 years the consent counts only with it.
            age: in years; it is looked at and not kept.
        """
        if age is not None and age < AGE_OF_OWN_CONSENT:
            guardian = bool(guardian)
        with self._database.write(lock="conversations") as session:
            row = session.get(ConsentRow, user_key)
            if row is None:
                row = ConsentRow(user_key=user_key, training=False)
                session.add(row)
            if not row.training or row.guardian != guardian:
                row.training, row.guardian, row.given_at, row.withdrawn_at = True, guardian, at, None
            return _consent(row)

    def withdraw(self, user_key: str, at: datetime) -> Consent:
        """A person allows nothing any more, as of `at`. What was said is deleted by `ConversationStore`."""
        with self._database.write(lock="conversations") as session:
            row = session.get(ConsentRow, user_key)
            if row is None:
                row = ConsentRow(user_key=user_key, withdrawn_at=at)
                session.add(row)
            elif row.training:
                row.withdrawn_at = at
            row.training = False
            return _consent(row)

    def forget(self, user_key: str) -> None:
        """Deletes the row: after a deletion request nothing tells that the person was ever here but the request."""
        with self._database.write(lock="conversations") as session:
            row = session.get(ConsentRow, user_key)
            if row is not None:
                session.delete(row)


def _consent(row: ConsentRow) -> Consent:
    return Consent(training=row.training, given_at=row.given_at, withdrawn_at=row.withdrawn_at, guardian=row.guardian)
