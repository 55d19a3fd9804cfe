"""Base models: which one a name means, its exact revision, and loading it frozen.

A name is a folder in `models_dir`, a path, or a hub id such as `Qwen/Qwen2.5-3B-Instruct` (with `@revision` to pin
it). All of them end as one folder of safetensors that the same code loads.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from nabi.error_kinds import Kind, kind_of
from nabi.errors import ModelError, OutOfMemory
from nabi.training.hardware import free_memory
from nabi.training.template import ensure_markers

# CUDA counts its devices by speed otherwise, the driver by slot: the sensors would look at another card than trains.
os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")

LARGE = 200_000_000
"""A base with more weights than this takes hours on a CPU."""

ONE_THREAD_WEIGHTS = 50_000_000
"""A base of no more weights answers fastest with one CPU thread: waking a second takes longer than most of its
operations. Measured on two idle cores: 4 million weights, one answer in 0.22 s with one thread and in 1.13 s with two,
32 answers in 0.7 and 1.3 s; 26 million, 0.9 and 1.7 s, 3.3 and 3.0 s."""

_MAKE_ROOM = "Set recipe.four_bit, choose a smaller base, or close what else uses the memory."

logger = logging.getLogger(__name__)

_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")
# Everything that changes what the model computes or how text becomes tokens; nothing else enters the revision.
_DIGESTED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
_HUB_FILES = (*_DIGESTED, "generation_config.json")


@dataclass(frozen=True, slots=True)
class BaseRef:
    """A base model, found and pinned. `revision` is a hub commit, or the sha256 of a folder's weights and tokenizer."""

    name: str
    source: str
    revision: str
    recipe: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LoadedBase:
    """A frozen base model in memory, in eval mode, with its tokenizer (fast, padded, template with markers).

    `threads` is what it computes with on a CPU; a thread of Python's has to say so to torch for itself.
    """

    model: Any
    tokenizer: Any
    ref: BaseRef
    device: str
    threads: int

    @property
    def precision(self) -> str:
        """What a training over it multiplies in."""
        return training_precision(self.device, self.model.num_parameters(), precision(self.device))


def resolve_base(name: str, models_dir: Path) -> BaseRef:
    """Find the base that a name means; the hub is asked only for ids that no folder answers to.

    Raises:
        ModelError: nothing has this name, the folder lacks weights, or the hub cannot be reached.
    """
    for folder in (models_dir / name, Path(name).expanduser()):
        if folder.is_dir():
            return _resolve_folder(name, folder.resolve())
    if _HUB_ID.match(name):
        return _resolve_hub(name)
    shipped = sorted(path.parent.name for path in models_dir.glob("*/config.json"))
    raise ModelError(
        f"there is no base model {name!r}",
        where=str(models_dir),
        fix=f"Set NABI_BASE_MODEL to one of {shipped}, to a folder, or to a hub id such as Qwen/Qwen2.5-3B-Instruct.",
    )


def load_base(ref: BaseRef, *, four_bit: bool = False, threads: int | None = None) -> LoadedBase:
    """Load a base, frozen: float32 on a CPU, bfloat16 on a GPU that can, NF4 with double quantisation at 4 bits.

    Args:
        ref: from `resolve_base`.
        four_bit: quantise the weights while loading (QLoRA).
        threads: CPU threads of the calling thread's computations; None for what its size makes best use of.

    Raises:
        ModelError: files are missing, damaged, pickled, or the chat template cannot be used.
        OutOfMemory: the device is too small for it.
    """
    import torch
    from safetensors import SafetensorError

    folder = _local_folder(ref)
    device = pick_device()
    free = free_memory(device)
    try:
        tokenizer = _load_tokenizer(folder, ref.name)
        model = _load_weights(folder, device, four_bit)
    except (MemoryError, OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        if kind_of(error) is Kind.OUT_OF_MEMORY:
            raise _no_room(ref, folder, device, free) from error
        raise ModelError(
            f"the base model cannot be loaded ({error})", where=str(folder), fix="Fetch or build it again."
        ) from error
    ensure_markers(tokenizer, ref.name)
    chosen = threads or _threads_that_help(model.num_parameters())
    torch.set_num_threads(chosen)
    return LoadedBase(model=model, tokenizer=tokenizer, ref=ref, device=device, threads=chosen)


def _threads_that_help(num_weights: int) -> int:
    return 1 if num_weights <= ONE_THREAD_WEIGHTS else len(os.sched_getaffinity(0))


def load_tokenizer(ref: BaseRef) -> Any:
    """A base's tokenizer as `load_base` gives it, for whoever lets another process compute.

    Raises:
        ModelError: files are missing, or the chat template cannot be used.
    """
    tokenizer = _load_tokenizer(_local_folder(ref), ref.name)
    ensure_markers(tokenizer, ref.name)
    return tokenizer


class LoadedBases:
    """The base that was loaded last: the next training over it takes it from memory."""

    def __init__(self) -> None:
        self._held: tuple[tuple[str, bool, int | None], LoadedBase] | None = None

    def get(self, ref: BaseRef, *, four_bit: bool, threads: int | None) -> LoadedBase:
        """`load_base`, unless it is the one in memory, which otherwise makes room first."""
        key = (ref.revision, four_bit, threads)
        if self._held is None or self._held[0] != key:
            self._held = None
            self._held = (key, load_base(ref, four_bit=four_bit, threads=threads))
        return self._held[1]

    def drop(self) -> None:
        """Let go of it: somebody left it in a state that is not known."""
        self._held = None


def _no_room(ref: BaseRef, folder: Path, device: str, free: int) -> OutOfMemory:
    place = "the GPU" if device == "cuda" else "this machine"
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    return OutOfMemory(
        f"{place} has too little memory for the base model: {free / 2**30:.1f} GiB were free,"
        f" and its weights' files hold {weights / 2**30:.1f} GiB",
        where=ref.name,
        fix=_MAKE_ROOM,
    )


def pick_device() -> str:
    """`cuda` where there is one, else `cpu`."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(device: str) -> str:
    """`bfloat16` where the hardware multiplies faster in it, else `float32`.

    The weights of base and adapter keep their type, and the losses are computed in float32. A CPU needs AMX: with it a
    training of tiny-ko was 1.9 times as fast and as reproducible; with avx512_bf16 alone matrix products are half as
    fast as in float32 (85 and 164 GF/s a core), and without either bfloat16 is emulated, slowly.
    """
    import torch

    if device == "cuda":
        able = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        able = torch.cpu._is_amx_tile_supported()  # the only place where torch tells
    return "bfloat16" if able else "float32"


def training_precision(device: str, num_weights: int, fastest: str) -> str:
    """What a training over a base of this size multiplies in, on a device that is fastest in `fastest`.

    On a CPU a small base is trained soon enough in float32, which gives much the same adapter on every processor.
    """
    return "float32" if device == "cpu" and num_weights <= LARGE else fastest


def context_length(model: Any) -> int:
    """How many tokens the base can hold."""
    return int(model.config.max_position_embeddings)


def _resolve_folder(name: str, folder: Path) -> BaseRef:
    files = sorted({path for pattern in _DIGESTED for path in folder.glob(pattern)})
    missing = [
        what
        for what, found in {
            "config.json": (folder / "config.json").exists(),
            "tokenizer.json": (folder / "tokenizer.json").exists(),
            "*.safetensors": any(path.suffix == ".safetensors" for path in files),
        }.items()
        if not found
    ]
    if missing:
        raise ModelError(
            f"the base model's folder lacks {', '.join(missing)} (pickled .bin weights are never loaded)",
            where=str(folder),
            fix="Build it with `nabi base build`, or convert its weights to safetensors.",
        )
    digest = hashlib.sha256()
    for path in files:
        stat = path.stat()
        digest.update(f"{path.name}:{_file_digest(path, stat.st_size, stat.st_mtime_ns)}\n".encode())
    return BaseRef(name=name, source=str(folder), revision=digest.hexdigest(), recipe=_read_recipe(folder))


@lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, modified_ns: int) -> str:
    """Size and time are part of the key only: a large base is hashed once per process, a changed one again."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_recipe(folder: Path) -> dict[str, Any]:
    path = folder / "recipe.json"
    if not path.exists():
        return {}
    try:
        recipe = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ModelError(f"this is no JSON ({error})", where=str(path), fix="Correct or remove it.") from error
    if not isinstance(recipe, dict):
        raise ModelError("the recipe is no JSON object", where=str(path), fix='Write {"learning_rate": …}.')
    return recipe


def _resolve_hub(name: str) -> BaseRef:
    """The commit in the local cache, so that adapters stay valid when a branch moves; else the hub's newest."""
    repo, _, revision = name.partition("@")
    try:
        commit = _snapshot(repo, revision or "main", local_only=True).name
    except ModelError:
        commit = _hub_commit(repo, revision or "main")
    return BaseRef(name=name, source=repo, revision=commit)


def _hub_commit(repo: str, revision: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        commit = HfApi().model_info(repo, revision=revision, timeout=10).sha
    except RepositoryNotFoundError as error:
        raise ModelError(
            "the hub knows no such base model", where=repo, fix="Check its name; gated models need a login."
        ) from error
    except (OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise _unreachable(repo, error) from error
    if commit is None:
        raise _unreachable(repo, "no commit was named")
    return commit


def folder_here(ref: BaseRef) -> Path | None:
    """Where the base's files lie on this machine, perhaps not all of them; None before they are downloaded."""
    folder = Path(ref.source)
    if folder.is_dir():
        return folder
    try:
        return _snapshot(ref.source, ref.revision, local_only=True)
    except ModelError:
        return None


def _local_folder(ref: BaseRef) -> Path:
    folder = Path(ref.source)
    # Asking the hub completes a download that was broken off.
    return folder if folder.is_dir() else _snapshot(ref.source, ref.revision, local_only=False)


def _snapshot(repo: str, revision: str, *, local_only: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    try:
        return Path(
            snapshot_download(
                repo, revision=revision, allow_patterns=list(_HUB_FILES), local_files_only=local_only, etag_timeout=10
            )
        )
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError, OSError) as error:
        raise _unreachable(repo, error) from error


def _unreachable(repo: str, reason: object) -> ModelError:
    return ModelError(
        f"the base model is not on this machine and the hub cannot be reached ({reason})",
        where=repo,
        fix=f"Download it where there is a network (`hf download {repo} --local-dir FOLDER`) and set "
        "NABI_BASE_MODEL to that folder, or use the shipped tiny-ko.",
    )


def _load_tokenizer(folder: Path, name: str) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    if not tokenizer.is_fast:
        raise ModelError("the tokenizer has no fast form", where=name, fix="Choose a base with a tokenizer.json.")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _load_weights(folder: Path, device: str, four_bit: bool) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    dtype = torch.bfloat16 if device == "cuda" and precision(device) == "bfloat16" else torch.float32
    options: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, "trust_remote_code": False}
    if four_bit:
        options |= {"quantization_config": _four_bits(dtype), "device_map": {"": device}}
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    if not four_bit:
        model = model.to(device)
    elif device == "cpu":
        _keep_layout(model)
    # A hub model's own sampling settings would make answers random and champions incomparable.
    model.generation_config = GenerationConfig(eos_token_id=model.generation_config.eos_token_id, do_sample=False)
    return model.requires_grad_(False).eval()


def _keep_layout(model: Any) -> None:
    """Keep bitsandbytes from laying weights out anew at their first use on a CPU with avx512_bf16.

    It does so for inference alone; a DoRA, whose lengths are those of the base's weights, then reads them wrongly, in
    PEFT and in our slots alike.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def _four_bits(dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
