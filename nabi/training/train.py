"""From two files of samples to a verified adapter folder.

The folder appears whole or not at all: it is written beside its place, verified as the server will verify it, and
renamed. An adapter is immutable: a job whose folder stands already is answered from it if it is the very same job.
A training that was killed goes on from its newest checkpoint, beside the folder's place, until the adapter stands.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import psutil
from pydantic import Field

from nabi.conversations.records import Frozen
from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.files import read_rows, read_samples
from nabi.datasets.samples import Sample
from nabi.errors import DataError, ModelError, NabiError, OutOfMemory, TransientError
from nabi.training.adapter import (
    METADATA,
    Provenance,
    library_versions,
    load_verified,
    read_manifest,
    verify_adapter,
    write_adapter,
)
from nabi.training.base_model import (
    BaseRef,
    LoadedBase,
    LoadedBases,
    context_length,
    resolve_base,
)
from nabi.training.checkpoint import Checkpoints, Every
from nabi.training.hardware import hardware
from nabi.training.libraries import require_libraries
from nabi.training.plan import Plan, plan_training, this_machine
from nabi.training.progress import Progress
from nabi.training.recipe import Recipe
from nabi.training.tokenise import Tokenised, TokenisedBadAnswer, tokenise_bad_answers, tokenise_samples

if TYPE_CHECKING:
    from nabi.training.trainer import Fitted

logger = logging.getLogger(__name__)


class _Limits(TypedDict):
    system_prompt: str
    uses_facts: bool
    max_length: int


class TrainingJob(Frozen):
    """Everything that one training needs to know; plain values, so that another process can do it."""

    persona_id: str
    system_prompt: str
    uses_facts: bool
    base_model: str
    models_dir: Path
    train_file: Path
    holdout_file: Path
    preferences_file: Path | None = Field(default=None, description="answers marked bad; None: none are learned from")
    recipe: Recipe
    seed: int
    out_dir: Path
    dataset_version: str
    dataset_digest: str
    commit: str
    threads: int | None = None
    start_adapter: Path | None = None
    rows: int | None = Field(default=None, ge=1, description="samples computed at once; None: the recipe's batch_size")
    save_every: Every = Every()


class TrainingResult(Frozen):
    """What a training made. Losses are in nats per token that is learned.

    The preference figures are None or empty without bad answers: `preference_accuracy` is the share of those with a
    better answer in which that one is likelier per token, `bad_made_rarer` the share of all of them that became less
    likely.
    """

    adapter_dir: Path
    digest: str
    train_loss: float
    holdout_loss: float | None
    holdout_loss_before: float | None
    losses: list[tuple[int, float]]
    num_samples: int
    num_left_out: int
    num_steps: int
    num_tokens: int
    rows: int
    resumed_at: int
    seconds: float
    hardware: dict[str, str]
    num_bad: int = 0
    num_pairs: int = 0
    preference_losses: list[tuple[int, float]] = Field(default_factory=list)
    preference_accuracy_before: float | None = None
    preference_accuracy: float | None = None
    bad_made_rarer: float | None = None


def train_adapters(
    jobs: Sequence[TrainingJob],
    on_progress: Callable[[int, float, str], None],
    on_end: Callable[[int, TrainingResult | NabiError], None],
) -> None:
    """Train many adapters in this process, one after another; a base is loaded once for all that follow each other.

    On a CPU this is the fast way: several adapters in one batch measured 0.66 times the speed. A failure is told as
    that job's end and keeps no other from its training.

    Args:
        on_progress: gets the job's place in `jobs`, the share done and a line for people.
        on_end: gets the job's place and what became of it.
    """
    bases = LoadedBases()
    for place, job in enumerate(jobs):
        try:
            on_end(place, train_adapter(job, partial(on_progress, place), bases))
        except NabiError as error:
            on_end(place, error)


def train_adapter(job: TrainingJob, on_progress: Progress, bases: LoadedBases | None = None) -> TrainingResult:
    """Train, verify and save one adapter in this process.

    Args:
        job: files, recipe, seed and provenance; `out_dir` must not exist yet, or hold this job's adapter;
            `start_adapter` is a folder whose weights are gone on from, None for a fresh adapter.
        on_progress: gets the share done (0 to 1) and a line for people.
        bases: where a base may be in memory already, and stays for the next; as it was, whatever happens here.

    Returns:
        `train_loss` is the mean of the last epoch, `holdout_loss` None when the holdout file is empty, `num_tokens`
        the tokens of one pass, `num_left_out` the samples longer than the context, `digest` the sha256 of the weights,
        `rows` the samples computed at once, `resumed_at` the step of the checkpoint it went on from (0: none).

    Raises:
        DataError: a sample file is missing, broken or empty.
        ModelError: base or adapter are unusable, the loss is NaN, or `out_dir` holds another adapter.
        OutOfMemory: the batch does not fit the device. The checkpoints stay, and `rows` may be smaller next time.
    """
    started = time.monotonic()
    threads = job.threads or len(os.sched_getaffinity(0))
    train, holdout = read_samples(job.train_file), read_samples(job.holdout_file)
    bad = read_rows(job.preferences_file, BadAnswer) if job.preferences_file else []
    if not train:
        raise DataError("there are no samples to train on", where=str(job.train_file), fix="Collect conversations.")
    ref = resolve_base(job.base_model, job.models_dir)
    require_libraries(four_bit=job.recipe.four_bit)
    plan = plan_training(ref, job.recipe, this_machine())
    provenance = _provenance(job, ref, plan, threads)
    if job.out_dir.exists():
        return _finished(job, ref, provenance)
    logger.info("%s", plan.why)
    if plan.warning:
        logger.warning("%s", plan.warning)
    on_progress(0.0, plan.warning or f"{len(train)} samples; loading {ref.name}")
    rows = job.rows or job.recipe.batch_size
    with (
        _memory_errors(rows),
        _checkpoints(job, provenance) as checkpoints,
        _partial(job.out_dir) as folder,
        _borrowed(bases or LoadedBases(), ref, plan, threads) as base,
    ):
        learned, held = _tokenise(job, base, train), _tokenise(job, base, holdout) if holdout else None
        marked = tokenise_bad_answers(base.tokenizer, bad, **_limits(job, base))
        fitted = _fit(job, base, learned, held, marked, rows=rows, checkpoints=checkpoints, on_progress=on_progress)
        seconds = time.monotonic() - started
        result = _result(job, fitted, learned, rows=rows, num_read=len(train), seconds=seconds, device=base.device)
        result = result.model_copy(update=_preference_figures(fitted, marked))
        digest = _save(folder, provenance, base, fitted, result)
        fitted.model.unload()
        verify_adapter(folder, ref)
        folder.rename(job.out_dir)
    on_progress(1.0, f"adapter saved, loss {result.train_loss:.2f}")
    return result.model_copy(update={"digest": digest, "seconds": time.monotonic() - started})


def _provenance(job: TrainingJob, ref: BaseRef, plan: Plan, threads: int) -> Provenance:
    return Provenance(
        persona_id=job.persona_id,
        base_name=ref.name,
        base_revision=ref.revision,
        dataset_version=job.dataset_version,
        dataset_digest=job.dataset_digest,
        commit=job.commit,
        arguments={
            "recipe": job.recipe.model_dump(mode="json"),
            "seed": job.seed,
            # The order in which threads add floats shows in the last bits, and so does the type they multiply in.
            "threads": threads,
            "precision": plan.precision,
            "four_bit": plan.four_bit,
            "system_prompt": job.system_prompt,
            "uses_facts": job.uses_facts,
            "train_sha256": file_digest(job.train_file),
            "holdout_sha256": file_digest(job.holdout_file),
            "preferences_sha256": file_digest(job.preferences_file) if job.preferences_file else None,
            "start_sha256": read_manifest(job.start_adapter).weights_sha256 if job.start_adapter else None,
        },
        libraries=library_versions(),
    )


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _finished(job: TrainingJob, ref: BaseRef, provenance: Provenance) -> TrainingResult:
    """The result of this very job, done before; anything else in its place is an error."""
    manifest = verify_adapter(job.out_dir, ref)
    differing = [name for name in Provenance.model_fields if getattr(manifest, name) != getattr(provenance, name)]
    if differing:
        raise ModelError(
            f"the folder holds an adapter of another training (differs in {', '.join(differing)})",
            where=str(job.out_dir),
            fix="Adapters are immutable: train into a new folder.",
        )
    told = json.loads((job.out_dir / METADATA).read_text(encoding="utf-8"))
    logger.info("%s was trained before; nothing to do", job.out_dir)
    return TrainingResult(adapter_dir=job.out_dir, digest=manifest.weights_sha256, **told["result"])


def _tokenise(job: TrainingJob, base: LoadedBase, samples: list[Sample]) -> Tokenised:
    return tokenise_samples(base.tokenizer, samples, **_limits(job, base))


def _limits(job: TrainingJob, base: LoadedBase) -> _Limits:
    return {
        "system_prompt": job.system_prompt,
        "uses_facts": job.uses_facts,
        "max_length": min(job.recipe.max_length, context_length(base.model)),
    }


def _fit(
    job: TrainingJob,
    base: LoadedBase,
    learned: Tokenised,
    held: Tokenised | None,
    marked: Sequence[TokenisedBadAnswer],
    *,
    rows: int,
    checkpoints: Checkpoints,
    on_progress: Progress,
) -> Fitted:
    # Imported here: it takes seconds, and callers that only make or read jobs need none of it.
    from nabi.training.trainer import fit

    return fit(
        base,
        learned.samples,
        held.samples if held else (),
        job.recipe,
        bad=marked,
        start=load_verified(job.start_adapter, base.ref)[1] if job.start_adapter else None,
        seed=job.seed,
        rows=rows,
        checkpoints=checkpoints,
        on_progress=on_progress,
    )


def _result(
    job: TrainingJob, fitted: Fitted, learned: Tokenised, *, rows: int, num_read: int, seconds: float, device: str
) -> TrainingResult:
    return TrainingResult(
        adapter_dir=job.out_dir,
        digest="",
        train_loss=fitted.train_loss,
        holdout_loss=fitted.holdout_after,
        holdout_loss_before=fitted.holdout_before,
        losses=list(fitted.losses),
        num_samples=len(learned.samples),
        num_left_out=num_read - len(learned.samples),
        num_steps=fitted.num_steps,
        num_tokens=sum(len(sample.input_ids) for sample in learned.samples),
        rows=rows,
        resumed_at=fitted.resumed_at,
        seconds=seconds,
        hardware=hardware(device),
    )


def _preference_figures(fitted: Fitted, marked: Sequence[TokenisedBadAnswer]) -> dict[str, object]:
    before, after = fitted.won_before, fitted.won_after
    return {
        "num_bad": len(marked),
        "num_pairs": sum(answer.better is not None for answer in marked),
        "preference_losses": list(fitted.preference_losses),
        "preference_accuracy_before": before.pairs if before else None,
        "preference_accuracy": after.pairs if after else None,
        "bad_made_rarer": after.rarer if after else None,
    }


def _save(folder: Path, provenance: Provenance, base: LoadedBase, fitted: Fitted, result: TrainingResult) -> str:
    from nabi.training.trainer import adapter_tensors

    manifest = write_adapter(
        folder,
        provenance=provenance,
        tensors=adapter_tensors(fitted.model),
        config=fitted.model.peft_config["default"].to_dict(),
        tokenizer=base.tokenizer,
        metadata={
            "persona_id": provenance.persona_id,
            "dataset_version": provenance.dataset_version,
            "device": base.device,
            "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "result": result.model_dump(mode="json", exclude={"adapter_dir", "digest"}),
        },
    )
    return manifest.weights_sha256


@contextmanager
def _borrowed(bases: LoadedBases, ref: BaseRef, plan: Plan, threads: int) -> Iterator[LoadedBase]:
    """The base without an adapter; after a failure it may still carry one, so it is not kept."""
    try:
        yield bases.get(ref, four_bit=plan.four_bit, threads=threads)
    except BaseException:
        bases.drop()
        raise


@contextmanager
def _checkpoints(job: TrainingJob, provenance: Provenance) -> Iterator[Checkpoints]:
    """This job's checkpoints. They outlive a kill and a lack of memory; nothing else needs them afterwards.

    The folder's name holds a digest of all that shapes the adapter: another job, another code or another library never
    goes on from them.
    """
    digest = hashlib.sha256(provenance.model_dump_json().encode()).hexdigest()
    prefix = f".{job.out_dir.name}.checkpoints-"
    checkpoints = Checkpoints(job.out_dir.parent / f"{prefix}{digest[:16]}", job.save_every)
    try:
        yield checkpoints
    except NabiError as error:
        # A training that failed by its own would fail again from its last checkpoint.
        if not isinstance(error, OutOfMemory | TransientError):
            checkpoints.clear()
        raise
    for remains in job.out_dir.parent.glob(f"{prefix}*"):
        shutil.rmtree(remains, ignore_errors=True)


@contextmanager
def _partial(out_dir: Path) -> Iterator[Path]:
    """A folder beside `out_dir` that is gone afterwards, unless it was renamed; remains of killed runs go too."""
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{out_dir.name}.partial-"
    for remains in out_dir.parent.glob(f"{prefix}[0-9]*"):
        owner = int(remains.name.removeprefix(prefix))
        if owner == os.getpid() or not psutil.pid_exists(owner):
            shutil.rmtree(remains, ignore_errors=True)
    partial = out_dir.parent / f"{prefix}{os.getpid()}"
    partial.mkdir()
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _memory_errors(rows: int) -> Iterator[None]:
    """Turn the many ways of running out of memory into the one that the loop answers with a smaller batch."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        from nabi.training.trainer import is_out_of_memory

        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"{_rows(rows)} at once do not fit the memory",
            fix="Use the low-memory preset, a smaller batch_size, or 4 bits.",
        ) from error


def _rows(num: int) -> str:
    return "1 sample" if num == 1 else f"{num} samples"
