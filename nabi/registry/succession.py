"""Which dataset version stands in another's place: a deletion writes the versions it concerns anew."""

from __future__ import annotations

from sqlalchemy.orm import Session

from nabi.database.tables import SuccessorRow


def newest_version(session: Session, dataset_version: str) -> str:
    """The version that stands in a version's place today: itself, unless deletions replaced it."""
    while (row := session.get(SuccessorRow, dataset_version)) and row.new_version is not None:
        dataset_version = row.new_version
    return dataset_version
