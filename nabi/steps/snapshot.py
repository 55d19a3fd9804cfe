"""Snapshot: the window's samples become one DVC version, named in MLflow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from nabi.catalogue.report import feature_report, render
from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.card_pictures import save_card_picture
from nabi.datasets.files import read_rows, read_samples
from nabi.datasets.snapshot import Snapshot as DatasetSnapshot
from nabi.datasets.snapshot import build_snapshot, load_snapshot
from nabi.registry.journal import Part, RowOrigin
from nabi.steps.bad_answers import bad_answers
from nabi.steps.bootstrap import bootstrap_pool
from nabi.steps.collect import curated_logs
from nabi.steps.guard import uses_words
from nabi.steps.past import dataset_of_past
from nabi.steps.window import Filled, Snapshot
from nabi.wiring import Platform


@uses_words
def take_snapshot(platform: Platform, filled: Filled) -> Snapshot:
    """Writes, versions and pushes the dataset; the same samples give the same version."""
    window = filled.window
    persona = platform.persona(window.persona_id)
    new, learned = curated_logs(platform, window)
    pool, bad = bootstrap_pool(platform, persona), bad_answers(platform, persona, learned, new)

    def build(folder: Path) -> DatasetSnapshot:
        return build_snapshot(persona, learned.kept, new.kept, pool, datasets_dir=folder, bad=bad)

    if window.replayed:
        # `datasets/` and `datasets.dvc` are the live line's.
        version = platform.datasets.save_aside(build, dataset_of_past(platform, window))
        built = load_snapshot(platform.datasets.checkout(version, persona.id))
    else:
        version, built = platform.datasets.save(build)
    refused = Counter(refusal.reason for refusal in (*new.refused, *learned.refused))
    run_id = _record(platform, filled, version, built, refused)
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


def _record(
    platform: Platform, filled: Filled, version: str, built: DatasetSnapshot, refused: Mapping[str, int]
) -> str:
    """Lineage rows in the database, the dataset, its card and what was kept out of it in the window's MLflow run."""
    window = filled.window
    platform.journal.record_dataset(version, window.persona_id, _origins(built))
    tracker = platform.tracker
    tags = {"as_of": window.as_of.isoformat(), "line": window.line}
    run_id = tracker.open_run(window.persona_id, window.pass_id, tags)
    counts = {
        "data/train": built.num_train,
        "data/holdout": built.num_holdout,
        "data/anchors": built.num_anchors,
        "data/new": filled.num_new,
        "data/bootstrap": built.num_bootstrap,
        "data/bad_answers": built.num_bad,
        "data/bad_answers_corrected": built.num_corrected,
        "data/refused": sum(refused.values()),
        **{f"data/refused/{reason.replace(' ', '_')}": num for reason, num in refused.items()},
    }
    tracker.log_dataset(run_id, name=window.persona_id, version=version, digest=built.digest, profile=counts)
    tracker.log(run_id, metrics=counts, tags={"dataset_version": version, "dataset_digest": built.digest})
    tracker.log_file(run_id, built.folder / "card.md", "dataset")
    tracker.log_file(run_id, built.folder / "card.json", "dataset")
    _log_picture(platform, run_id, built)
    _log_catalogue(platform, run_id, window.persona_id)
    return run_id


def _log_picture(platform: Platform, run_id: str, built: DatasetSnapshot) -> None:
    """The card's picture beside the card; not in the dataset's folder, whose bytes must follow from the data alone."""
    with TemporaryDirectory() as folder:
        picture = Path(folder) / "card.png"
        if save_card_picture(picture, built.card):
            platform.tracker.log_file(run_id, picture, "dataset")


def _log_catalogue(platform: Platform, run_id: str, persona_id: str) -> None:
    """What the persona's workbook held on the day of this run: the feature report and its figures."""
    persona = platform.persona(persona_id)
    reading = platform.workbook(persona)
    if reading is None or persona.bootstrap is None:
        return
    report = feature_report(reading, daily_limit=persona.bootstrap.daily_limit)
    platform.tracker.log_text(run_id, render(report), "catalogue/feature_report.md")
    platform.tracker.log_metrics(run_id, report.metrics())


def _origins(built: DatasetSnapshot) -> list[RowOrigin]:
    """Every row's conversation: what lineage and deletion follow."""
    files: tuple[tuple[Part, Path], ...] = (
        ("train", built.train_file),
        ("holdout", built.holdout_file),
        ("anchor", built.anchors_file),
    )
    rows = [RowOrigin(s.sample_id, s.conversation_id, part) for part, path in files for s in read_samples(path)]
    bad = read_rows(built.preferences_file, BadAnswer) if built.num_bad else []
    return [*rows, *(RowOrigin(answer.sample_id, answer.conversation_id, "preference") for answer in bad)]
