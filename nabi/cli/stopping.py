"""What a planned stop of the platform leaves word of, so that the runs that it breaks off do not count as crashed."""

from __future__ import annotations

from datetime import UTC, datetime

from nabi.cli.output import console
from nabi.errors import NabiError
from nabi.integrations.running import runs_at_work
from nabi.settings import Settings


class PlannedStop:
    """A stop that somebody asked for, from before the first process is ended until the last one has."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._begun = datetime.now(UTC)
        self._noted: set[str] = set()

    def note_runs(self) -> None:
        """Notes the runs that are at work now. Cheap enough to be asked again while the worker ends: it may just have
        begun another one.
        """
        found = runs_at_work(self._settings) - self._noted
        if not found:
            return
        from nabi.database.engine import open_database
        from nabi.registry.stops import Stops

        self._noted |= found
        try:
            database = open_database(self._settings.database)
            Stops(database).note(found, self._begun)
            database.close()
        except NabiError as error:  # the stop itself must not wait for a database that is away
            console.print(f"runs that are stopped now will count as crashed: {error}", style="red", markup=False)
