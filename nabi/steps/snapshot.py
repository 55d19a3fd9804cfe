"""Snapshot: the window's samples become one DVC version, named in MLflow."""

from __future__ import annotations

from pathlib import Path

from nabi.datasets.files import read_samples
from nabi.datasets.snapshot import Snapshot as DatasetSnapshot
from nabi.datasets.snapshot import build_snapshot
from nabi.registry.journal import Part, RowOrigin
from nabi.steps.bootstrap import bootstrap_pool
from nabi.steps.collect import curated_logs
from nabi.steps.guard import uses_words
from nabi.steps.window import Filled, Snapshot
from nabi.wiring import Platform


@uses_words
def take_snapshot(platform: Platform, filled: Filled) -> Snapshot:
    """Writes, versions and pushes the dataset; the same samples give the same version."""
    window = filled.window
    persona = platform.persona(window.persona_id)
    new, learned = curated_logs(platform, window)
    pool = bootstrap_pool(platform, persona)
    version, built = platform.datasets.save(
        lambda folder: build_snapshot(persona, learned.kept, new.kept, pool, datasets_dir=folder)
    )
    run_id = _record(platform, filled, version, built)
    return Snapshot(
        window=window,
        run_id=run_id,
        version=version,
        digest=built.digest,
        num_train=built.num_train,
        num_holdout=built.num_holdout,
        num_anchors=built.num_anchors,
        num_new=filled.num_new,
    )


def _record(platform: Platform, filled: Filled, version: str, built: DatasetSnapshot) -> str:
    """Lineage rows in the database, the dataset and its card in the window's MLflow run."""
    window = filled.window
    platform.journal.record_dataset(version, window.persona_id, _origins(built))
    tracker = platform.tracker
    run_id = tracker.open_run(window.persona_id, window.pass_id, {"as_of": window.as_of.isoformat()})
    counts = {
        "data/train": built.num_train,
        "data/holdout": built.num_holdout,
        "data/anchors": built.num_anchors,
        "data/new": filled.num_new,
        "data/bootstrap": built.num_bootstrap,
    }
    tracker.log_dataset(run_id, name=window.persona_id, version=version, digest=built.digest, profile=counts)
    tracker.log_metrics(run_id, counts)
    tracker.log_tags(run_id, {"dataset_version": version, "dataset_digest": built.digest})
    tracker.log_file(run_id, built.folder / "card.md", "dataset")
    tracker.log_file(run_id, built.folder / "card.json", "dataset")
    return run_id


def _origins(built: DatasetSnapshot) -> list[RowOrigin]:
    """Every row's conversation: what lineage and deletion follow."""
    files: tuple[tuple[Part, Path], ...] = (
        ("train", built.train_file),
        ("holdout", built.holdout_file),
        ("anchor", built.anchors_file),
    )
    return [RowOrigin(s.sample_id, s.conversation_id, part) for part, path in files for s in read_samples(path)]
