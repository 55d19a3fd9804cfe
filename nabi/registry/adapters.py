"""Adapter versions from training to retirement, and the one place where the live adapter changes.

The ledger decides what is live, in one transaction. MLflow's aliases and stages are a mirror of it for people
to look at: three separate calls could never be atomic.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nabi.errors import ConfigError, ModelError
from nabi.integrations.mlflow_tracking import CANDIDATE, CHAMPION, PREVIOUS, RETIRE_TAG, TrackedVersion, Tracker
from nabi.registry.leases import Lease
from nabi.registry.ledger import Ledger, Live
from nabi.registry.removals import Removals
from nabi.registry.rollouts import Rollouts
from nabi.registry.version_names import parse_version_name, version_name
from nabi.training.adapter import CONFIG, MANIFEST, METADATA

logger = logging.getLogger(__name__)

REPLAY_TAG = "replay"
REMOVED_TAG = "files_removed"
BARRED_TAG = "barred"
"""Why a version must not be live again: for people to see, the database is what decides."""

RECORDS = frozenset({CONFIG, MANIFEST, METADATA})
"""What stays of a version whose files are removed: enough to train it again and to tell whether it came out equal."""


@dataclass(frozen=True, slots=True)
class AdapterVersion:
    """One registered adapter of a persona."""

    persona_id: str
    number: int
    digest: str
    run_id: str
    stage: str
    tags: Mapping[str, str]

    @property
    def name(self) -> str:
        return version_name(self.persona_id, self.number)

    @property
    def dataset_version(self) -> str:
        return self.tags.get("dataset_version", "")

    @property
    def replayed(self) -> bool:
        """Trained in a replay of the past, so never a candidate of today."""
        return REPLAY_TAG in self.tags

    @property
    def as_of(self) -> datetime | None:
        """The end of the window that it was trained in; None where nobody said."""
        told = self.tags.get("as_of")
        return datetime.fromisoformat(told) if told else None

    @property
    def start(self) -> str | None:
        """The version whose weights it went on from; None where it began with a fresh adapter."""
        return self.tags.get("start")

    @property
    def removed(self) -> str | None:
        """Why its files were removed; None while they are there."""
        return self.tags.get(REMOVED_TAG)

    @property
    def retire(self) -> str | None:
        """Why it should be retired and its persona trained anew; None when there is no reason to."""
        return self.tags.get(RETIRE_TAG)


class AdapterRegistry:
    """Registers and deploys adapters.

    Args:
        tracker: where versions and their figures are kept.
        ledger: what is and was live.
        rollouts: what is on trial, and what must not be live again.
        removals: whose files were removed.
        folder: local adapters, one folder a persona, one below it a version.
    """

    def __init__(self, tracker: Tracker, ledger: Ledger, rollouts: Rollouts, removals: Removals, folder: Path) -> None:
        self._tracker = tracker
        self._ledger = ledger
        self._rollouts = rollouts
        self._removals = removals
        self._folder = folder

    def candidate_folder(self, persona_id: str, label: str) -> Path:
        """Where a training may write before its adapter has a version."""
        return self._folder / persona_id / "candidates" / label

    def register(
        self,
        persona_id: str,
        run_id: str,
        trained: Path,
        digest: str,
        *,
        tags: Mapping[str, str],
        replayed: bool = False,
    ) -> AdapterVersion:
        """Makes the persona's next version of a trained adapter folder; the same digest and run only once."""
        if replayed:
            tags = {**tags, REPLAY_TAG: "of the past"}
        tracked = self._tracker.register_adapter(run_id, persona_id, trained, digest=digest, tags=tags, params={})
        self._keep_local(trained, self._local(persona_id, tracked.number))
        self.mirror(persona_id)
        return _version(tracked)

    def versions(self, persona_id: str) -> list[AdapterVersion]:
        """All versions, oldest first."""
        return [_version(tracked) for tracked in self._tracker.versions(persona_id)]

    def version(self, name: str) -> AdapterVersion:
        """The version of that name.

        Raises:
            ConfigError: there is none; the message lists those there are.
        """
        persona_id, number = parse_version_name(name)
        versions = self.versions(persona_id)
        for version in versions:
            if version.number == number:
                return version
        known = ", ".join(v.name for v in versions) or "none yet"
        raise ConfigError(f"there is no adapter {name}", fix=f"Known versions: {known}.")

    def version_called(self, persona_id: str, name: str) -> AdapterVersion:
        """A persona's version as people call it: `v3`, `3` or `nabiyam--v3`.

        Raises:
            ConfigError: it is no version's name, another persona's, or there is none of it.
        """
        number = name.removeprefix(f"{persona_id}--").removeprefix("v")
        if not number.isascii() or not number.isdigit():
            known = ", ".join(version.name for version in self.versions(persona_id))
            raise ConfigError(
                f"this is no adapter version of {persona_id}.",
                where=name,
                fix=f"Write one of: {known or 'there are none yet'}.",
            )
        return self.version(version_name(persona_id, int(number)))

    def folder_of(self, version: AdapterVersion) -> Path:
        """The adapter's files on this machine, fetched from the artifact store when they are not here.

        Raises:
            ConfigError: they were removed.
        """
        self._removals.refuse(version.name)
        local = self._local(version.persona_id, version.number)
        if not local.is_dir():
            incoming = local.with_suffix(".incoming")
            shutil.rmtree(incoming, ignore_errors=True)
            self._keep_local(self._tracker.fetch_adapter(self._tracked(version), incoming), local)
            shutil.rmtree(incoming, ignore_errors=True)
        return local

    def record_of(self, version: AdapterVersion, scratch: Path) -> tuple[Path, bool]:
        """A folder with at least what stays of a version in any case (`RECORDS`), and whether its weights are there.

        Args:
            scratch: a path of the caller's that is filled where the version's files were removed.
        """
        if version.name in self._removals.of(version.persona_id):
            return self._tracker.fetch_adapter(self._tracked(version), scratch), False
        return self.folder_of(version), True

    def remove_files(self, version: AdapterVersion, *, why: str) -> int:
        """Deletes a version's files here and in the artifact store, but for its records; how many bytes they had.

        May be killed and repeated. Whether they may go has been decided, and noted, before: see `Removals.begin`.
        """
        local = self._local(version.persona_id, version.number)
        aside = local.with_name(f".gone-{local.name}")
        if local.is_dir():
            # Half a folder under its own name would be taken for a whole one.
            local.rename(aside)
        num_bytes = 0
        if aside.is_dir():
            num_bytes = sum(path.stat().st_size for path in aside.iterdir())
            shutil.rmtree(aside)
        num_bytes += self._tracker.remove_adapter_files(self._tracked(version), RECORDS)
        self._tracker.tag_version(version.persona_id, version.number, {REMOVED_TAG: why})
        return num_bytes

    def live(self, persona_id: str) -> Live | None:
        """What answers now; None while the bare base does."""
        return self._ledger.live(persona_id)

    def deploy(self, version: AdapterVersion, *, who: str, why: str, lease: Lease | None = None) -> Live:
        """Makes a version the champion; the champion so far becomes the rollback target.

        Args:
            lease: under which the persona is taught.

        Raises:
            LeaseLost: another process works on the persona now; nothing was changed.
        """
        self.folder_of(version)  # a champion that cannot be loaded must fail here, not in front of a user
        live = self._ledger.deploy(version.persona_id, version.name, version.digest, who=who, why=why, lease=lease)
        logger.info("%s is live (%s)", version.name, why)
        self._tracker.tag_version(version.persona_id, version.number, {"decision": "deployed", "why": why})
        self.mirror(version.persona_id)
        return live

    def reject(self, version: AdapterVersion, *, why: str) -> None:
        """Records that a candidate was kept out, so that nobody wonders later."""
        self._tracker.tag_version(version.persona_id, version.number, {"decision": "kept out", "why": why})
        self.mirror(version.persona_id)

    def note_winner(self, version: AdapterVersion, *, why: str) -> None:
        """Records that a replay's candidate would have been deployed at its time."""
        self._tracker.tag_version(version.persona_id, version.number, {"decision": "won the replay", "why": why})

    def mark_for_retirement(self, version: AdapterVersion, *, why: str) -> None:
        """Records that an adapter learned from what was deleted since: it stays only until a new one is trained."""
        self._tracker.tag_version(version.persona_id, version.number, {RETIRE_TAG: why})

    def mirror(self, persona_id: str) -> None:
        """Brings MLflow's aliases and stages in line with the ledger; safe to repeat.

        The candidate is the version on trial, or else the newest that nothing was decided about.
        """
        versions = self._tracker.versions(persona_id)
        if not versions:
            return
        live = self._ledger.live(persona_id)
        champion = parse_version_name(live.champion)[1] if live else None
        previous = parse_version_name(live.previous)[1] if live and live.previous else None
        undecided = [v.number for v in versions if v.number > (champion or 0) and _is_undecided(v)]
        candidate = undecided[-1] if undecided else None
        trial = self._rollouts.running(persona_id)
        if trial is not None and (on_trial := parse_version_name(trial.candidate)[1]) in {v.number for v in versions}:
            candidate = on_trial
        stages = {v.number: "Archived" for v in versions}
        if candidate is not None:
            stages[candidate] = "Staging"
        if champion is not None:
            stages[champion] = "Production"
        self._tracker.mirror_stages(persona_id, {CHAMPION: champion, PREVIOUS: previous, CANDIDATE: candidate}, stages)
        for name, why in self._rollouts.barred(persona_id).items():
            number = parse_version_name(name)[1]
            if any(v.number == number and v.tags.get(BARRED_TAG) != why for v in versions):
                self._tracker.tag_version(persona_id, number, {BARRED_TAG: why})

    def _tracked(self, version: AdapterVersion) -> TrackedVersion:
        return next(t for t in self._tracker.versions(version.persona_id) if t.number == version.number)

    def _local(self, persona_id: str, number: int) -> Path:
        return self._folder / persona_id / version_name(persona_id, number)

    def _keep_local(self, source: Path, local: Path) -> None:
        if local.is_dir():
            if source != local:  # a killed pass trained it twice, to the same bytes
                shutil.rmtree(source, ignore_errors=True)
            return
        if not source.is_dir():
            raise ModelError(f"the adapter's files are gone from {source}", fix="Run the training again.")
        local.parent.mkdir(parents=True, exist_ok=True)
        source.replace(local)


def _is_undecided(tracked: TrackedVersion) -> bool:
    return "decision" not in tracked.tags and REPLAY_TAG not in tracked.tags


def _version(tracked: TrackedVersion) -> AdapterVersion:
    return AdapterVersion(
        persona_id=tracked.persona_id,
        number=tracked.number,
        digest=tracked.digest,
        run_id=tracked.run_id,
        stage=tracked.stage,
        tags=tracked.tags,
    )
