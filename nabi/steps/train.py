"""Train: one adapter from one dataset version, registered as the persona's next version."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from nabi.personas.model import Persona, Preset
from nabi.provenance import code_commit
from nabi.steps.guard import uses_words
from nabi.steps.window import Candidate, Snapshot
from nabi.training.adapter import read_manifest
from nabi.training.base_model import BaseRef
from nabi.training.checkpoint import Every
from nabi.training.recipe import Recipe, resolve_recipe
from nabi.training.train import TrainingJob, TrainingResult
from nabi.training.worker import train_in_own_process
from nabi.wiring import Platform

logger = logging.getLogger("nabi.progress")

# What an adapter's weights mean: it can be gone on from only with the same.
_SHAPING = ("r", "alpha", "target_modules", "rslora", "dora")


@uses_words
def train_candidate(
    platform: Platform, snapshot: Snapshot, preset: Preset | None, on_progress: Callable[[float, str], None]
) -> Candidate:
    """Trains on exactly the files of the snapshot's version and registers the adapter."""
    window = snapshot.window
    persona = platform.persona(window.persona_id)
    platform.journal.record_training(window.persona_id, window.as_of)
    job = training_job(platform, persona, snapshot, preset)
    tracker = platform.tracker
    tracker.log_params(snapshot.run_id, _params(job))
    result = train_in_own_process(job, on_progress)
    _log_result(platform, snapshot.run_id, job, result)
    version = platform.registry.register(
        persona.id,
        snapshot.run_id,
        result.adapter_dir,
        result.digest,
        tags={"dataset_version": snapshot.version, "as_of": window.as_of.isoformat(), "commit": job.commit},
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


def training_job(platform: Platform, persona: Persona, snapshot: Snapshot, preset: Preset | None) -> TrainingJob:
    """Everything the training process needs, from the declaration and the dataset version."""
    data = platform.datasets.checkout(snapshot.version, persona.id)
    base = platform.base(persona)
    recipe = resolve_recipe(persona.recipe, base, preset)
    label = f"{snapshot.window.as_of:%Y%m%dT%H%M}-{snapshot.version[:12]}"
    return TrainingJob(
        persona_id=persona.id,
        system_prompt=persona.system_prompt,
        uses_facts=persona.uses_facts,
        base_model=base.name,
        models_dir=platform.settings.models,
        train_file=data / "train.jsonl",
        holdout_file=_loss_file(data),
        recipe=recipe,
        seed=platform.settings.seed,
        out_dir=platform.registry.candidate_folder(persona.id, label),
        dataset_version=snapshot.version,
        dataset_digest=snapshot.digest,
        commit=code_commit(),
        threads=platform.settings.threads,
        save_every=Every(seconds=platform.settings.checkpoint_seconds, steps=platform.settings.checkpoint_steps),
        start_adapter=_start(platform, persona, base, recipe),
    )


def _start(platform: Platform, persona: Persona, base: BaseRef, recipe: Recipe) -> Path | None:
    """The champion's folder when the recipe goes on from it and it fits; None begins afresh."""
    live = platform.registry.live(persona.id)
    if recipe.start == "base" or live is None:
        return None
    folder = platform.registry.folder_of(platform.registry.version(live.champion))
    manifest = read_manifest(folder)
    wanted, had = recipe.model_dump(mode="json"), manifest.arguments["recipe"]
    # An adapter from before a field existed was trained with its default.
    defaults = Recipe().model_dump(mode="json")
    differing = [name for name in _SHAPING if wanted[name] != had.get(name, defaults[name])]
    if manifest.base_revision != base.revision:
        differing.append("base model")
    if differing:
        logger.info("begins afresh: %s was trained with another %s", live.champion, ", ".join(differing))
        return None
    return folder


def _loss_file(data: Path) -> Path:
    """Where the holdout loss is measured: the held-out logs, or the anchors while there are none."""
    holdout = data / "holdout.jsonl"
    return holdout if holdout.is_file() and holdout.stat().st_size else data / "anchors.jsonl"


def _params(job: TrainingJob) -> dict[str, object]:
    recipe = {f"recipe/{name}": value for name, value in job.recipe.model_dump().items()}
    return {
        "base_model": job.base_model,
        "seed": job.seed,
        "dataset_version": job.dataset_version,
        "commit": job.commit,
        "start": job.start_adapter.name if job.start_adapter else "base",
        **recipe,
    }


def _log_result(platform: Platform, run_id: str, job: TrainingJob, result: TrainingResult) -> None:
    asked = job.recipe.batch_size
    if result.rows < asked:
        told = (
            f"{asked} samples at once did not fit; {result.rows} at once, {job.recipe.samples_a_step} a step as before"
        )
        platform.tracker.log_tags(run_id, {"out_of_memory": told})
    platform.tracker.log_curve(run_id, [(step, "train/loss", loss) for step, loss in result.losses])
    figures = {
        "train/final_loss": result.train_loss,
        "holdout/loss": result.holdout_loss,
        "holdout/loss_before": result.holdout_loss_before,
        "train/samples": result.num_samples,
        "train/left_out": result.num_left_out,
        "train/steps": result.num_steps,
        "train/tokens": result.num_tokens,
        "train/seconds": result.seconds,
        "train/rows": result.rows,
        "train/resumed_at": result.resumed_at,
    }
    platform.tracker.log_metrics(run_id, {name: value for name, value in figures.items() if value is not None})
