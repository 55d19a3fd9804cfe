"""Train: one adapter from one dataset version, registered as the persona's next version."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from nabi.datasets.files import read_samples
from nabi.datasets.snapshot import PREFERENCES
from nabi.datasets.split import drawn
from nabi.errors import ModelError, NabiError
from nabi.personas.model import Persona, Preset
from nabi.provenance import code_commit, lock_digest
from nabi.steps.ahead import MEASURING, importing
from nabi.steps.guard import uses_words
from nabi.steps.past import past_of
from nabi.steps.window import Candidate, Snapshot
from nabi.training.adapter import library_versions, read_manifest, verify_adapter
from nabi.training.base_model import BaseRef, resolve_base
from nabi.training.checkpoint import Every
from nabi.training.recipe import Recipe, resolve_recipe
from nabi.training.train import TrainingJob, TrainingResult, differing_from
from nabi.training.worker import train_in_own_process
from nabi.training.worker import train_together as run_together
from nabi.wiring import Platform

logger = logging.getLogger("nabi.progress")

JOB_RECORD = "training/job.json"
"""Where a run keeps all arguments of its training, for `nabi reproduce`."""

# What an adapter's weights mean: it can be gone on from only with the same.
_SHAPING = ("r", "alpha", "target_modules", "rslora", "dora")


@uses_words
def train_candidate(
    platform: Platform, snapshot: Snapshot, preset: Preset | None, on_progress: Callable[[float, str], None]
) -> Candidate:
    """Trains on exactly the files of the snapshot's version and registers the adapter."""
    window = snapshot.window
    persona = platform.persona(window.persona_id)
    if not window.replayed:
        platform.journal.record_training(window.persona_id, window.as_of)
    job = training_job(platform, persona, snapshot, preset)
    _make_room(job)
    tracker = platform.tracker
    tracker.log_params(snapshot.run_id, _params(job))
    tracker.log_tags(snapshot.run_id, _record(platform, job))
    # Which samples rest follows from the rest of the record.
    tracker.log_text(snapshot.run_id, job.model_dump_json(indent=2, exclude={"resting"}), JOB_RECORD)
    result = train_in_own_process(job, on_progress, meanwhile=importing(MEASURING))
    _log_result(platform, snapshot.run_id, job, result)
    version = platform.registry.register(
        persona.id,
        snapshot.run_id,
        result.adapter_dir,
        result.digest,
        tags=_tags(snapshot, job),
        replayed=window.replayed,
    )
    return Candidate(
        window=window,
        snapshot=snapshot,
        adapter=version.name,
        digest=result.digest,
        train_loss=result.train_loss,
        holdout_loss=result.holdout_loss,
        seconds=result.seconds,
    )


@uses_words
def train_together(
    platform: Platform,
    snapshots: Sequence[Snapshot],
    preset: Preset | None,
    on_progress: Callable[[Snapshot, float, str], None],
) -> int:
    """Trains the adapters of several personas in one process, each base loaded once; how many came to stand.

    The finished folders lie where `train_candidate` will look for them. A persona that fails here is only told of:
    `train_candidate` trains it again by itself, from its checkpoint where it may, and its error is that persona's own.
    """
    if len(snapshots) < 2:
        return 0
    jobs: list[TrainingJob] = []
    served: list[Snapshot] = []
    for snapshot in snapshots:
        try:
            job = training_job(platform, platform.persona(snapshot.window.persona_id), snapshot, preset)
            _make_room(job)
        except NabiError as error:
            logger.warning("%s cannot be trained with the others: %s", snapshot.window.persona_id, error)
        else:
            jobs.append(job)
            served.append(snapshot)
    # Those of one base follow each other, so that it stays in memory.
    order = sorted(range(len(jobs)), key=lambda place: (jobs[place].base_model, jobs[place].recipe.four_bit))
    with importing(MEASURING):
        outcomes = run_together(
            [jobs[place] for place in order],
            lambda place, share, message: on_progress(served[order[place]], share, message),
            at_once=platform.settings.train_at_once,
        )
    for place, outcome in zip(order, outcomes, strict=True):
        if isinstance(outcome, NabiError):
            logger.warning("%s could not be trained with the others: %s", jobs[place].persona_id, outcome)
    return sum(not isinstance(outcome, NabiError) for outcome in outcomes)


def training_job(platform: Platform, persona: Persona, snapshot: Snapshot, preset: Preset | None) -> TrainingJob:
    """Everything the training process needs, from the declaration and the dataset version."""
    data = platform.datasets.checkout(snapshot.version, persona.id)
    base = platform.base(persona)
    recipe = resolve_recipe(persona.recipe, base, preset)
    window = snapshot.window
    start = _start(platform, persona, base, recipe, past_of(platform, window).champion)
    label = f"{window.as_of:%Y%m%dT%H%M}-{snapshot.version[:12]}{'-replay' if window.replayed else ''}"
    return TrainingJob(
        persona_id=persona.id,
        system_prompt=persona.system_prompt,
        uses_facts=persona.uses_facts,
        base_model=base.name,
        models_dir=platform.settings.models,
        train_file=data / "train.jsonl",
        holdout_file=loss_file(data),
        preferences_file=preferences_file(data) if recipe.preferences else None,
        recipe=recipe,
        seed=platform.settings.seed,
        out_dir=platform.registry.candidate_folder(persona.id, label),
        dataset_version=snapshot.version,
        dataset_digest=snapshot.digest,
        commit=code_commit(),
        threads=platform.settings.threads,
        save_every=Every(seconds=platform.settings.checkpoint_seconds, steps=platform.settings.checkpoint_steps),
        start_adapter=start,
        resting=resting_samples(platform, persona.id, data, snapshot.version, recipe, start),
    )


def _make_room(job: TrainingJob) -> None:
    """Remove what an earlier try of the window left there: an adapter with another recipe, of other code, or damaged.

    No version was made of it, else its folder had been moved; nothing could ever become of it.
    """
    if not job.out_dir.exists():
        return
    base = resolve_base(job.base_model, job.models_dir)
    try:
        verify_adapter(job.out_dir, base)
    except ModelError as error:
        why = error.what
    else:
        why = ", ".join(differing_from(job))
    if why:
        logger.info("trains %s anew, since what was there cannot be taken: %s", job.out_dir.name, why)
        shutil.rmtree(job.out_dir)


def _start(platform: Platform, persona: Persona, base: BaseRef, recipe: Recipe, champion: str | None) -> Path | None:
    """The champion's folder when the recipe goes on from it and it fits; None begins afresh."""
    if recipe.start == "base" or champion is None:
        return None
    folder = platform.registry.folder_of(platform.registry.version(champion))
    manifest = read_manifest(folder)
    wanted, had = recipe.model_dump(mode="json"), manifest.arguments["recipe"]
    # An adapter from before a field existed was trained with its default.
    defaults = Recipe().model_dump(mode="json")
    differing = [name for name in _SHAPING if wanted[name] != had.get(name, defaults[name])]
    if manifest.base_revision != base.revision:
        differing.append("base model")
    if differing:
        logger.info("begins afresh: %s was trained with another %s", champion, ", ".join(differing))
        return None
    return folder


def resting_samples(  # noqa: PLR0917
    platform: Platform, persona_id: str, data: Path, version: str, recipe: Recipe, start: Path | None
) -> tuple[str, ...]:
    """Ids of the samples that take no part: of those that the champion learned from, all but the recipe's share.

    Which ones take part is drawn anew for every dataset version, so that none rests for ever.

    Args:
        data: folder of the persona's part of the dataset.
        version: of the dataset.
        start: folder of the champion that is gone on from, named as its version; None where nobody is.
    """
    if start is None or recipe.replay_share == 1:
        return ()
    learned = platform.registry.version(start.name).dataset_version
    older = {row.conversation_id for row in platform.journal.rows_of(learned, persona_id) if row.part == "train"}
    return tuple(
        sample.sample_id
        for sample in read_samples(data / "train.jsonl")
        if sample.conversation_id in older and not drawn(sample.conversation_id, recipe.replay_share, version)
    )


def loss_file(data: Path) -> Path:
    """Where the holdout loss is measured: the held-out logs, or the anchors while there are none."""
    holdout = data / "holdout.jsonl"
    return holdout if holdout.is_file() and holdout.stat().st_size else data / "anchors.jsonl"


def preferences_file(data: Path) -> Path | None:
    """The answers marked bad; None where there are none, or a deletion left none."""
    path = data / PREFERENCES
    return path if path.is_file() and path.stat().st_size else None


def _record(platform: Platform, job: TrainingJob) -> dict[str, str]:
    """What a repetition of this training has to meet, beside its arguments (requirement C7)."""
    return {
        "commit": job.commit,
        "code_dirty": str(job.commit.endswith("-dirty")),
        "lock_sha256": lock_digest(),
        "base_revision": resolve_base(job.base_model, platform.settings.models).revision,
        "libraries": json.dumps(library_versions(four_bit=job.recipe.four_bit), sort_keys=True),
    }


def _tags(snapshot: Snapshot, job: TrainingJob) -> dict[str, str]:
    """What a version says of itself."""
    start = {"start": job.start_adapter.name} if job.start_adapter else {}
    as_of = snapshot.window.as_of.isoformat()
    return {"dataset_version": snapshot.version, "as_of": as_of, "commit": job.commit, **start}


def _params(job: TrainingJob) -> dict[str, object]:
    recipe = {f"recipe/{name}": value for name, value in job.recipe.model_dump().items()}
    return {
        "base_model": job.base_model,
        "seed": job.seed,
        "dataset_version": job.dataset_version,
        "commit": job.commit,
        "start": job.start_adapter.name if job.start_adapter else "base",
        "learns_from_bad_answers": job.preferences_file is not None,
        **recipe,
    }


def _log_result(platform: Platform, run_id: str, job: TrainingJob, result: TrainingResult) -> None:
    asked = job.recipe.batch_size
    if result.rows < asked:
        told = (
            f"{asked} samples at once did not fit; {result.rows} at once, {job.recipe.samples_a_step} a step as before"
        )
        platform.tracker.log_tags(run_id, {"out_of_memory": told})
    manifest = read_manifest(result.adapter_dir)
    measured = {name: str(manifest.arguments[name]) for name in ("threads", "precision", "four_bit")}
    hardware = json.dumps(result.hardware, sort_keys=True)
    record = {
        **measured,
        "together": str(result.together),
        "tokenizer_sha256": manifest.tokenizer_sha256,
        "hardware": hardware,
        # As it came out: a GPU may have held the base in 4 bits unasked.
        "libraries": json.dumps(manifest.libraries, sort_keys=True),
    }
    platform.tracker.log_tags(run_id, record)
    platform.tracker.log_curve(run_id, [(step, "train/loss", loss) for step, loss in result.losses])
    if result.preference_losses:
        curve = [(step, "train/preference_loss", loss) for step, loss in result.preference_losses]
        platform.tracker.log_curve(run_id, curve)
    figures = {
        "train/final_loss": result.train_loss,
        "holdout/loss": result.holdout_loss,
        "holdout/loss_before": result.holdout_loss_before,
        "train/samples": result.num_samples,
        "train/resting": len(job.resting),
        "train/left_out": result.num_left_out,
        "train/steps": result.num_steps,
        "train/tokens": result.num_tokens,
        "train/seconds": result.seconds,
        "train/rows": result.rows,
        "train/resumed_at": result.resumed_at,
        "train/bad_answers": result.num_bad,
        "train/bad_answers_corrected": result.num_pairs,
        "train/preference_accuracy_before": result.preference_accuracy_before,
        "train/preference_accuracy": result.preference_accuracy,
        "train/bad_made_rarer": result.bad_made_rarer,
    }
    platform.tracker.log_metrics(run_id, {name: value for name, value in figures.items() if value is not None})
