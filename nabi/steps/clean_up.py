"""Clean up: what fills the disk and nobody needs any more goes; what a person may want to look at stays.

adapters     files of versions that their persona's `retention` does not ask for; figures and records stay
trainings    what was begun and no adapter was made of, untouched for three days
checkouts    dataset versions laid out to be read; DVC lays them out again
results      of the steps of Prefect's runs, as long as Prefect itself remembers those
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nabi.errors import ConfigError
from nabi.file_lock import locked
from nabi.integrations.local_servers import RUNS_KEPT
from nabi.personas.model import Persona
from nabi.registry.journal import LIVE, REPLAY, Line
from nabi.registry.retention import Kept, Story, superfluous
from nabi.registry.version_names import parse_version_name
from nabi.wiring import Platform

if TYPE_CHECKING:
    from nabi.registry.adapters import AdapterVersion

logger = logging.getLogger(__name__)

ABANDONED = timedelta(days=3)
"""A training that nobody touched for so long begins anew if its window is ever tried again; a checkpoint is written
each minute, and a run that waits keeps its checkpoint over a weekend."""


@dataclass(frozen=True)
class CleanedUp:
    """What went.

    Args:
        adapters: version → why its files went.
        num_bytes: freed, here and in the artifact store.
    """

    adapters: dict[str, str] = field(default_factory=dict)
    num_bytes: int = 0

    @property
    def sentence(self) -> str:
        """The result in a few words."""
        return f"old adapters removed: {len(self.adapters)}, {self.num_bytes / 1e6:.1f} MB freed"


def clean_up(platform: Platform) -> CleanedUp:
    """Removes what is not needed any more. May be killed and repeated; a second process waits for the first."""
    state = platform.settings.state
    with locked(state / "locks" / "clean-up.lock"):
        for persona_id, names in superfluous_adapters(platform).items():
            platform.removals.begin(persona_id, names)
        adapters, num_bytes = _remove_begun(platform)
        num_bytes += _remove_abandoned(platform.settings.adapters.glob("*/candidates/*"), ABANDONED)
        num_bytes += _remove_abandoned((state / "prefect" / "storage").glob("*"), RUNS_KEPT)
        num_bytes += platform.datasets.drop_unused_checkouts()
        return CleanedUp(adapters, num_bytes)


def superfluous_adapters(platform: Platform) -> dict[str, dict[str, str]]:
    """By persona, the versions whose files would go now, each with its reason.

    A persona whose file is broken or gone keeps everything: nobody knows what it wants kept.
    """
    found = {}
    for persona_id in platform.persona_ids():
        persona = platform.declared(persona_id)
        if isinstance(persona, ConfigError):
            logger.warning("nothing of %s is cleaned up: %s", persona_id, persona)
        elif names := _superfluous(platform, persona):
            found[persona_id] = names
    return found


def _superfluous(platform: Platform, persona: Persona) -> dict[str, str]:
    undecided = platform.journal.undecided(persona.id)
    removed = platform.removals.of(persona.id)
    versions = [
        Kept(
            name=version.name,
            replayed=version.replayed,
            start=version.start,
            undecided=_window_of(version) in undecided,
        )
        for version in platform.registry.versions(persona.id)
        if version.name not in removed
    ]
    replay = reversed(platform.journal.latest(persona.id, num=1000, line=REPLAY))
    story = Story(
        in_force=platform.removals.in_force(persona.id),
        # A version that was live again later counts by the last time.
        live=list(dict.fromkeys(entry.champion for entry in reversed(platform.ledger.history(persona.id))))[::-1],
        won=[window.adapter_version for window in replay if window.state == "won" and window.adapter_version],
        tainted={retirement.adapter_version for retirement in platform.lineage.retirements(persona.id)},
    )
    return superfluous(versions, story, persona.retention)


def _window_of(version: AdapterVersion) -> tuple[datetime | None, Line]:
    return version.as_of, REPLAY if version.replayed else LIVE


def _remove_begun(platform: Platform) -> tuple[dict[str, str], int]:
    """Deletes the files of everything that was noted, by us or by a process that was killed over it."""
    num_bytes, gone = 0, {}
    for removal in platform.removals.unfinished():
        persona_id, number = parse_version_name(removal.adapter_version)
        known = {version.number: version for version in platform.registry.versions(persona_id)}
        if number in known:
            num_bytes += platform.registry.remove_files(known[number], why=removal.why)
        platform.removals.finish(removal.adapter_version)
        gone[removal.adapter_version] = removal.why
        logger.info("the files of %s are removed: %s", removal.adapter_version, removal.why)
    return gone, num_bytes


def _remove_abandoned(paths: Iterable[Path], after: timedelta) -> int:
    """Removes files and folders in which nothing was written for so long; how many bytes."""
    num_bytes, oldest = 0, time.time() - after.total_seconds()
    for path in paths:
        try:
            files = [(file, file.stat()) for file in (path, *path.rglob("*"))]
        except FileNotFoundError:  # a run finished it, or took its result away, this very moment
            continue
        if max(stat.st_mtime for _file, stat in files) >= oldest:
            continue
        num_bytes += sum(stat.st_size for file, stat in files if file.is_file())
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return num_bytes
