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
import re
import time
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from pydantic import Field

from nabi.conversations.records import Frozen
from nabi.datasets.bad_answers import BadAnswer
from nabi.datasets.files import read_rows, read_samples
from nabi.datasets.samples import Sample
from nabi.error_kinds import Kind, kind_of
from nabi.errors import DataError, ModelError, OutOfMemory
from nabi.training.adapter import (
    METADATA,
    Provenance,
    library_versions,
    load_verified,
    read_manifest,
    verify_adapter,
    write_adapter,
)
from nabi.training.base_model import BaseRef, LoadedBase, LoadedBases, context_length, resolve_base
from nabi.training.checkpoint import Checkpoints, Every
from nabi.training.hardware import hardware
from nabi.training.libraries import require_libraries
from nabi.training.plan import Machine, Plan, plan_training, this_machine
from nabi.training.progress import Progress
from nabi.training.recipe import Recipe
from nabi.training.tokenise import (
    Encode,
    TokenCache,
    TokenisedBadAnswer,
    TokenisedSample,
    tokenise_bad_answers,
    tokenise_samples,
)
from nabi.training.workplace import remove_checkpoints, workplace

if TYPE_CHECKING:
    from nabi.training.trainer import Fitted, Task

logger = logging.getLogger(__name__)

# What torch says that it could not get, on a GPU ("1.00 GiB") and on a CPU ("4096 bytes").
_WANTED = re.compile(r"tried to allocate ([\d.]+ \w+)", re.IGNORECASE)


class _Limits(TypedDict):
    system_prompt: str
    uses_facts: bool
    max_length: int
    encode: Encode


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
    resting: tuple[str, ...] = Field(default=(), description="ids of samples in train_file that take no part")
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
    together: int = 1
    resumed_at: int
    seconds: float
    hardware: dict[str, str]
    num_bad: int = 0
    num_pairs: int = 0
    preference_losses: list[tuple[int, float]] = Field(default_factory=list)
    preference_accuracy_before: float | None = None
    preference_accuracy: float | None = None
    bad_made_rarer: float | None = None


def train_adapter(job: TrainingJob, on_progress: Progress) -> TrainingResult:
    """Train, verify and save one adapter in this process.

    Args:
        job: files, recipe, seed and provenance; `out_dir` must not exist yet, or hold this job's adapter;
            `start_adapter` is a folder whose weights are gone on from, None for a fresh adapter.
        on_progress: gets the share done (0 to 1) and a line for people.

    Returns:
        `train_loss` is the mean of the last epoch, `holdout_loss` None when the holdout file is empty, `num_tokens`
        the tokens of one pass, `num_left_out` the samples longer than the context, `digest` the sha256 of the weights,
        `rows` the samples computed at once, `together` the adapters that shared their batches with this one (itself
        among them), `resumed_at` the step of the checkpoint it went on from (0: none).

    Raises:
        DataError: a sample file is missing, broken or empty.
        ModelError: base or adapter are unusable, the loss is NaN, or `out_dir` holds another adapter.
        OutOfMemory: the batch does not fit the device. The checkpoints stay, and `rows` may be smaller next time.
    """
    if done := done_before(job):
        return done
    return train_ready(make_ready(job, this_machine()), LoadedBases(), TokenCache(), on_progress)


def done_before(job: TrainingJob) -> TrainingResult | None:
    """The result of this very job where its adapter stands; None where none does.

    Raises:
        DataError: a sample file is missing.
        ModelError: the folder holds another adapter, or a damaged one.
    """
    if not job.out_dir.exists():
        return None
    manifest = verify_adapter(job.out_dir, resolve_base(job.base_model, job.models_dir))
    if differing := differing_from(job):
        raise ModelError(
            f"the folder holds an adapter of another training (differs in {', '.join(differing)})",
            where=str(job.out_dir),
            fix="Adapters are immutable: train into a new folder.",
        )
    told = json.loads((job.out_dir / METADATA).read_text(encoding="utf-8"))
    logger.info("%s was trained before; nothing to do", job.out_dir)
    # A kill between the adapter's last move and this leaves them.
    remove_checkpoints(job.out_dir)
    return TrainingResult(adapter_dir=job.out_dir, digest=manifest.weights_sha256, **told["result"])


def differing_from(job: TrainingJob) -> list[str]:
    """In what the adapter that stands in the job's folder is another training's; empty where it is this job's.

    In what precision and how the base was held was decided by the machine as it was then, so that is not compared: it
    may have other memory free by now.
    """
    manifest = read_manifest(job.out_dir)
    precision, four_bit = manifest.arguments.get("precision"), bool(manifest.arguments.get("four_bit"))
    ref = resolve_base(job.base_model, job.models_dir)
    wanted = _provenance(job, ref, precision=precision, four_bit=four_bit)
    return [name for name in Provenance.model_fields if getattr(manifest, name) != getattr(wanted, name)]


@dataclass(frozen=True)
class Ready:
    """A job whose files are read, and whose adapter does not stand yet."""

    job: TrainingJob
    ref: BaseRef
    plan: Plan
    provenance: Provenance
    threads: int
    train: list[Sample]
    holdout: list[Sample]
    bad: list[BadAnswer]

    @property
    def rows(self) -> int:
        return self.job.rows or self.job.recipe.batch_size

    @property
    def kind(self) -> Hashable:
        """What adapters must have in common to be computed as one batch; DoRA's has nothing in common with any."""
        recipe = self.job.recipe
        base = (self.ref.source, self.ref.revision, self.plan.four_bit, self.threads)
        return (*base, recipe.r, recipe.target_modules, recipe.recompute, self.rows, recipe.dora and self.job.out_dir)


def make_ready(job: TrainingJob, machine: Machine) -> Ready:
    """Read the files of a job that was not done before, and plan it. Raises as `train_adapter` does."""
    resting = frozenset(job.resting)
    train = [sample for sample in read_samples(job.train_file) if sample.sample_id not in resting]
    holdout = read_samples(job.holdout_file)
    bad = read_rows(job.preferences_file, BadAnswer) if job.preferences_file else []
    if not train:
        raise DataError("there are no samples to train on", where=str(job.train_file), fix="Collect conversations.")
    ref = resolve_base(job.base_model, job.models_dir)
    plan = plan_training(ref, job.recipe, machine, num_bad=len(bad))
    # A GPU that is too small for the base as it is holds it in 4 bits, whatever the recipe says.
    require_libraries(four_bit=plan.four_bit, asked=job.recipe.four_bit)
    provenance = _provenance(job, ref, precision=plan.precision, four_bit=plan.four_bit)
    return Ready(job, ref, plan, provenance, _threads(job), train, holdout, bad)


def _threads(job: TrainingJob) -> int:
    return job.threads or len(os.sched_getaffinity(0))


def train_ready(ready: Ready, bases: LoadedBases, tokens: TokenCache, on_progress: Progress) -> TrainingResult:
    """Train, verify and save one adapter alone. Raises as `train_adapter` does."""
    # Imported here: it takes seconds, and callers that only make or read jobs need none of it.
    from nabi.training.trainer import fit

    started = time.monotonic()
    announce(ready, on_progress)
    with (
        memory_errors(f"{num_samples(ready.rows)} at once do not fit the memory", ready.plan),
        borrowed(bases, ready) as base,
        workplace(ready.job.out_dir, ready.provenance, ready.job.save_every) as (folder, checkpoints),
    ):
        task = make_task(ready, base, tokens, checkpoints, on_progress)
        return finish(ready, base, folder, task, fit(base, task), together=1, started=started)


def announce(ready: Ready, on_progress: Progress) -> None:
    """Say what is going to happen, and why."""
    plan = ready.plan
    logger.info("%s", plan.why)
    if plan.warning:
        logger.warning("%s", plan.warning)
    on_progress(0.0, plan.warning or f"{len(ready.train)} samples; loading {ready.ref.name}")


def _provenance(job: TrainingJob, ref: BaseRef, *, precision: str | None, four_bit: bool) -> Provenance:
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
            "threads": _threads(job),
            "precision": precision,
            "four_bit": four_bit,
            "system_prompt": job.system_prompt,
            "uses_facts": job.uses_facts,
            "train_sha256": file_digest(job.train_file),
            "holdout_sha256": file_digest(job.holdout_file),
            "preferences_sha256": file_digest(job.preferences_file) if job.preferences_file else None,
            "start_sha256": read_manifest(job.start_adapter).weights_sha256 if job.start_adapter else None,
            "resting_sha256": hashlib.sha256("\n".join(job.resting).encode()).hexdigest() if job.resting else None,
        },
        libraries=library_versions(four_bit=four_bit),
    )


def file_digest(path: Path) -> str:
    """The sha256 of a dataset file's bytes.

    Raises:
        DataError: there is no such file.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError as error:
        raise DataError(
            "the dataset file is missing.", where=str(path), fix="Check the dataset's version out again with DVC."
        ) from error


def make_task(
    ready: Ready, base: LoadedBase, tokens: TokenCache, checkpoints: Checkpoints, on_progress: Progress
) -> Task:
    """What the job asks for, tokenised.

    Raises:
        DataError: no sample fits the context.
        ModelError: the adapter to go on from is damaged, or of another base.
    """
    from nabi.training.trainer import Task

    job = ready.job
    limits: _Limits = {
        "system_prompt": job.system_prompt,
        "uses_facts": job.uses_facts,
        "max_length": min(job.recipe.max_length, context_length(base.model)),
        # The base's revision is the digest of its tokenizer, too.
        "encode": tokens.encode(base.ref.revision),
    }

    def tokenise(samples: list[Sample]) -> Sequence[TokenisedSample]:
        return tokenise_samples(base.tokenizer, samples, **limits).samples

    return Task(
        train=tokenise(ready.train),
        holdout=tokenise(ready.holdout) if ready.holdout else (),
        bad=tokenise_bad_answers(base.tokenizer, ready.bad, **limits),
        recipe=job.recipe,
        start=load_verified(job.start_adapter, base.ref)[1] if job.start_adapter else None,
        seed=job.seed,
        rows=ready.rows,
        checkpoints=checkpoints,
        on_progress=on_progress,
    )


def finish(
    ready: Ready, base: LoadedBase, folder: Path, task: Task, fitted: Fitted, *, together: int, started: float
) -> TrainingResult:
    """Write the adapter into `folder`, verify it, and put it in its place."""
    job = ready.job
    result = TrainingResult(
        adapter_dir=job.out_dir,
        digest="",
        train_loss=fitted.train_loss,
        holdout_loss=fitted.holdout_after,
        holdout_loss_before=fitted.holdout_before,
        losses=list(fitted.losses),
        num_samples=len(task.train),
        num_left_out=len(ready.train) - len(task.train),
        num_steps=fitted.num_steps,
        num_tokens=sum(len(sample.input_ids) for sample in task.train),
        rows=task.rows,
        together=together,
        resumed_at=fitted.resumed_at,
        seconds=time.monotonic() - started,
        hardware=hardware(base.device),
        **_preference_figures(fitted, task.bad),
    )
    digest = _save(folder, ready.provenance, base, fitted, result)
    verify_adapter(folder, ready.ref)
    folder.rename(job.out_dir)
    task.on_progress(1.0, f"adapter saved, loss {result.train_loss:.2f}")
    return result.model_copy(update={"digest": digest, "seconds": time.monotonic() - started})


def _preference_figures(fitted: Fitted, marked: Sequence[TokenisedBadAnswer]) -> dict[str, Any]:
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
    manifest = write_adapter(
        folder,
        provenance=provenance,
        tensors=fitted.tensors,
        config=fitted.config,
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
def borrowed(bases: LoadedBases, ready: Ready) -> Iterator[LoadedBase]:
    """The base without an adapter; after a failure it may still carry one, so it is not kept."""
    try:
        yield bases.get(ready.ref, four_bit=ready.plan.four_bit, threads=ready.threads)
    except BaseException:
        bases.drop()
        raise


@contextmanager
def memory_errors(told: str, plan: Plan) -> Iterator[None]:
    """Turn the many ways of running out of memory into the one that the loop answers with a smaller batch.

    Args:
        told: what did not fit.
        plan: of the training, whose figures are told with it.
    """
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if kind_of(error) is not Kind.OUT_OF_MEMORY:
            raise
        wanted = _WANTED.search(str(error))
        more = f"{wanted[1]} more were asked for; " if wanted else ""
        raise OutOfMemory(
            f"{told} ({more}begun as {plan.why})", fix="Use the low-memory preset, a smaller batch_size, or 4 bits."
        ) from error


def num_samples(num: int) -> str:
    return "1 sample" if num == 1 else f"{num} samples"
