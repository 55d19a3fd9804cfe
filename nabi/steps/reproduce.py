"""Reproduce: train again from the record of a run, and compare the two adapters (requirement X6)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nabi.errors import ConfigError, DataError, ModelError
from nabi.provenance import code_commit, lock_digest
from nabi.registry.adapters import AdapterVersion
from nabi.registry.version_names import is_version_name
from nabi.steps.guard import uses_words
from nabi.steps.train import JOB_RECORD, loss_file, preferences_file, resting_samples
from nabi.training.adapter import METADATA, AdapterManifest, load_verified, read_manifest
from nabi.training.base_model import BaseRef, resolve_base
from nabi.training.progress import Progress
from nabi.training.train import TrainingJob, TrainingResult
from nabi.training.worker import train_in_own_process
from nabi.wiring import Platform

# What the machine of the moment decides about a training.
_DECIDED_THERE = ("threads", "precision", "four_bit")
_SHAPING_BITS = {"hardware", "libraries", "together", *_DECIDED_THERE}


@dataclass(frozen=True)
class Reproduction:
    """A training done twice.

    Args:
        differing: what was not the same around the two: name → (then, now).
        largest_difference: of any weight, in absolute figures; None where the weights of then were removed and those
            of now are others.
        relative_difference: norm of the difference by the norm of the first adapter; None in the same case.
    """

    adapter: str
    digest_then: str
    digest_now: str
    holdout_then: float | None
    holdout_now: float | None
    largest_difference: float | None
    relative_difference: float | None
    differing: Mapping[str, tuple[str, str]]

    @property
    def equal(self) -> bool:
        return self.digest_then == self.digest_now

    @property
    def same_machine(self) -> bool:
        """Whether equal bits were to be expected: the same hardware, libraries, precision, company in the batches."""
        return not set(self.differing) & _SHAPING_BITS

    @property
    def sentence(self) -> str:
        """The result in one line."""
        if self.equal:
            return f"{self.adapter} came out again, equal to the last bit."
        around = ", ".join(self.differing) or "nothing that is recorded"
        if self.largest_difference is None or self.relative_difference is None:
            by = "by how much, nobody can tell: its weights of then were removed"
        else:
            by = f"weights by {self.largest_difference:.2g} at most ({self.relative_difference:.2g} of their norm)"
        return f"{self.adapter} came out different: {by}; what differs around it: {around}."


@uses_words
def reproduce(platform: Platform, name: str, on_progress: Progress) -> Reproduction:
    """Trains again with the same dataset version, base, arguments and seed; nothing of the platform changes.

    Args:
        name: an MLflow run id, an adapter version, or a window such as `nabiyam@2026-07-01T03:00Z`.

    Raises:
        ConfigError: nothing has this name, or its run trained nothing.
        DataError: the dataset is not the one of then any more.
        ModelError: the base is not the one of then, or the training failed.
    """
    version = _version_named(platform, name)
    recorded = TrainingJob.model_validate_json(platform.tracker.read_text(version.run_id, JOB_RECORD))
    base = resolve_base(recorded.base_model, platform.settings.models)
    platform.settings.state.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="reproduction-", dir=platform.settings.state) as scratch:
        then, has_weights = platform.registry.record_of(version, Path(scratch) / "then")
        manifest, metadata = read_manifest(then), json.loads((then / METADATA).read_text(encoding="utf-8"))
        if base.revision != manifest.base_revision:
            raise ModelError(
                f"{base.name} is at revision {base.revision[:12]} now and was at {manifest.base_revision[:12]} then",
                where=version.name,
                fix="Put the base of then into models/ and try again.",
            )
        job = _job_again(platform, version, recorded, metadata, Path(scratch) / "adapter")
        _check_data(version, job, manifest.arguments)
        result = train_in_own_process(job, on_progress)
        again = read_manifest(result.adapter_dir)
        equal = again.weights_sha256 == manifest.weights_sha256
        apart: tuple[float, float] | tuple[None, None] = (0.0, 0.0) if equal else (None, None)
        if has_weights:
            apart = _apart(then, result.adapter_dir, base)
        return Reproduction(
            adapter=version.name,
            digest_then=manifest.weights_sha256,
            digest_now=again.weights_sha256,
            holdout_then=metadata["result"]["holdout_loss"],
            holdout_now=result.holdout_loss,
            largest_difference=apart[0],
            relative_difference=apart[1],
            differing=_differing(platform, version, manifest, again, result),
        )


def _apart(then: Path, now: Path, base: BaseRef) -> tuple[float, float]:
    """How far the weights of two adapters' folders lie apart, at most and as a share of the first one's norm."""
    old, new = load_verified(then, base)[1], load_verified(now, base)[1]
    differences = {key: (old[key].double() - new[key].double()) for key in old}
    norm = sum(float(tensor.double().pow(2).sum()) for tensor in old.values()) ** 0.5
    distance = sum(float(tensor.pow(2).sum()) for tensor in differences.values()) ** 0.5
    return max(float(tensor.abs().max()) for tensor in differences.values()), distance / norm


def _version_named(platform: Platform, name: str) -> AdapterVersion:
    if is_version_name(name):
        return platform.registry.version(name)
    run_id = _run_of_window(platform, name) if "@" in name else name
    persona_id = platform.tracker.run_tags(run_id).get("persona", "")
    trained = [version for version in platform.registry.versions(persona_id) if version.run_id == run_id]
    if not trained:
        raise ConfigError("this run trained no adapter", where=name, fix="`nabi adapters list PERSONA` names them.")
    return trained[-1]


def _run_of_window(platform: Platform, name: str) -> str:
    persona_id, _, moment = name.partition("@")
    try:
        as_of = datetime.fromisoformat(moment)
    except ValueError as error:
        raise ConfigError(f"{moment!r} is no time", where=name, fix="Write nabiyam@2026-07-01T03:00Z.") from error
    for standing in platform.journal.latest(platform.persona(persona_id).id, num=10_000):
        if as_of.tzinfo and standing.as_of == as_of and standing.mlflow_run_id:
            return standing.mlflow_run_id
    raise ConfigError("no run of this window is recorded", where=name, fix="Give its end with its time zone.")


def _job_again(
    platform: Platform, version: AdapterVersion, recorded: TrainingJob, metadata: Mapping[str, Any], out_dir: Path
) -> TrainingJob:
    newest = platform.lineage.newest(version.dataset_version)
    if newest != version.dataset_version:
        raise DataError(
            f"its dataset {version.dataset_version[:12]} was written anew as {newest[:12]} because people asked to be"
            " forgotten; what was deleted cannot be learned from again",
            where=version.name,
        )
    data = platform.datasets.checkout(version.dataset_version, version.persona_id)
    named = recorded.start_adapter
    start = platform.registry.folder_of(platform.registry.version(named.name)) if named else None
    return recorded.model_copy(
        update={
            "models_dir": platform.settings.models,
            "train_file": data / "train.jsonl",
            "holdout_file": loss_file(data),
            "preferences_file": preferences_file(data) if recorded.preferences_file else None,
            "out_dir": out_dir,
            "start_adapter": start,
            "resting": resting_samples(
                platform, version.persona_id, data, version.dataset_version, recorded.recipe, start
            ),
            "commit": code_commit(),
            "rows": metadata["result"]["rows"],
        }
    )


def _check_data(version: AdapterVersion, job: TrainingJob, arguments: Mapping[str, Any]) -> None:
    from nabi.training.train import file_digest

    found = {
        "train_sha256": file_digest(job.train_file),
        "holdout_sha256": file_digest(job.holdout_file),
        "preferences_sha256": file_digest(job.preferences_file) if job.preferences_file else None,
    }
    # An adapter from before a file could exist was trained without it.
    if odd := [name for name, digest in found.items() if arguments.get(name) != digest]:
        raise DataError(f"the dataset's files are not those of then ({', '.join(odd)})", where=version.name)


def _differing(
    platform: Platform, version: AdapterVersion, then: AdapterManifest, now: AdapterManifest, result: TrainingResult
) -> dict[str, tuple[str, str]]:
    tags = platform.tracker.run_tags(version.run_id)
    pairs = {
        "commit": (version.tags.get("commit", ""), code_commit()),
        "lock file": (tags.get("lock_sha256", ""), lock_digest()),
        "libraries": (_told(then.libraries), _told(now.libraries)),
        "hardware": (tags.get("hardware", ""), _told(result.hardware)),
        **{
            name: (str(then.arguments[name]), str(now.arguments[name]))
            for name in _DECIDED_THERE
            if name in then.arguments  # an adapter from before it was recorded has not all
        },
        # Those of before the figure was kept were trained alone.
        "together": (tags.get("together", "1"), str(result.together)),
    }
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _told(record: Mapping[str, str]) -> str:
    return json.dumps(dict(record), sort_keys=True)
