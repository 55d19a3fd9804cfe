"""An adapter at rest: a folder that says what it is, and the checks it must pass before anything loads it.

    adapter_config.json         PEFT's configuration, so that any tool can load the adapter
    adapter_model.safetensors   the weights
    tokenizer files             what turned text into tokens
    manifest.json               digests, shapes and provenance; free of times, so that equal runs give equal bytes
    metadata.json               what the training measured, times included

PEFT itself loads NaN weights, flipped bits, half-missing files and adapters of another base without a word.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any, Literal

from pydantic import Field, ValidationError

from nabi.conversations.records import Frozen
from nabi.errors import ModelError
from nabi.training.base_model import BaseRef

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
MANIFEST = "manifest.json"
METADATA = "metadata.json"

MAX_RANK = 256
# alpha / r multiplies what the adapter adds. The usual is 1 to 4; beyond this it drowns the base.
MAX_SCALE = 64.0
# Root mean square of one tensor's entries. Trained ones measure 0.001 to 0.5; weights multiplied by 10⁴ exceed it.
MAX_RMS = 10.0
# The same of DoRA's lengths, which are those of the base's weights: 1 to 5.
MAX_LENGTH_RMS = 100.0

_REFETCH = "Roll back to another version, or train it again."


class Provenance(Frozen):
    """Where an adapter comes from: everything needed to make it again."""

    persona_id: str
    base_name: str
    base_revision: str
    dataset_version: str
    dataset_digest: str
    commit: str
    arguments: dict[str, Any] = Field(description="recipe, seed, threads, prompt, digests of the sample files")
    libraries: dict[str, str] = Field(description="versions of what did the training")


class AdapterManifest(Provenance):
    """What an adapter's folder must hold, to the byte."""

    format_version: Literal[1] = 1
    weights_sha256: str
    tokenizer_sha256: str
    files: dict[str, str] = Field(description="file name → sha256; every file but manifest.json and metadata.json")
    tensors: dict[str, tuple[int, ...]] = Field(description="weight name → shape")
    r: int
    alpha: int
    target_modules: tuple[str, ...]
    rslora: bool = Field(default=False, description="alpha is divided by √r, not by r")
    dora: bool = Field(default=False, description="a length of each output is learned beside the two factors")

    @property
    def scale(self) -> float:
        """What multiplies the product of the two factors."""
        return self.alpha / (math.sqrt(self.r) if self.rslora else self.r)


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """How weights lie in their file: from `start` on, one behind the other in the order of `shapes` (weight name →
    shape). `dtype` is torch's; None when they are of several."""

    start: int
    dtype: Any | None
    shapes: dict[str, tuple[int, ...]]


def library_versions(*, four_bit: bool) -> dict[str, str]:
    """Versions that an adapter's bits depend on; over a base in 4 bits on bitsandbytes', too."""
    names = ["torch", "transformers", "peft", "accelerate", "tokenizers", "safetensors"]
    names += ["bitsandbytes"] if four_bit else []
    return {"python": python_version()} | {name: version(name) for name in names}


def write_adapter(
    folder: Path,
    *,
    provenance: Provenance,
    tensors: dict[str, Any],
    config: dict[str, Any],
    tokenizer: Any,
    metadata: dict[str, Any],
) -> AdapterManifest:
    """Fill an empty folder with an adapter and its manifest, and put it on the disk for good.

    Args:
        folder: exists and is empty.
        provenance: where the adapter comes from.
        tensors: weights under PEFT's names (`Learner.tensors`).
        config: the `LoraConfig` as a dictionary, target modules resolved.
        tokenizer: saved beside the weights.
        metadata: measurements; may hold times.
    """
    from safetensors.torch import save_file

    tokenizer.save_pretrained(folder)
    tokenizer_files = sorted(path.name for path in folder.iterdir())
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    modules = tuple(sorted(config["target_modules"]))
    settled = config | {
        "target_modules": list(modules),
        "base_model_name_or_path": provenance.base_name,
        "inference_mode": True,
    }
    _write_json(folder / CONFIG, settled)
    digests = {path.name: _sha256(path.read_bytes()) for path in sorted(folder.iterdir())}
    manifest = AdapterManifest(
        **provenance.model_dump(),
        weights_sha256=digests[WEIGHTS],
        tokenizer_sha256=_sha256("".join(f"{name}:{digests[name]}\n" for name in tokenizer_files).encode()),
        files=digests,
        tensors={name: tuple(tensor.shape) for name, tensor in tensors.items()},
        r=config["r"],
        alpha=config["lora_alpha"],
        target_modules=modules,
        rslora=config["use_rslora"],
        dora=config["use_dora"],
    )
    _write_json(folder / MANIFEST, manifest.model_dump(mode="json"))
    _write_json(folder / METADATA, metadata)
    _flush(folder)
    return manifest


def read_manifest(folder: Path) -> AdapterManifest:
    """The manifest of an adapter's folder, unchecked against the files.

    Raises:
        ModelError: there is none, or it is no manifest.
    """
    path = folder / MANIFEST
    try:
        return AdapterManifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise ModelError("the adapter has no manifest", where=str(folder), fix=_REFETCH) from error
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"the manifest is broken ({field}: {first['msg']})", where=str(path), fix=_REFETCH) from error


def verify_adapter(folder: Path, base: BaseRef) -> AdapterManifest:
    """Check that an adapter is whole, sane and made for this base.

    Raises:
        ModelError: a file is missing, changed or not named in the manifest; weights are pickled, not finite, absurdly
            large, of other names or shapes; rank or alpha are out of bounds; the base is another one.
    """
    return load_verified(folder, base)[0]


def load_verified(folder: Path, base: BaseRef) -> tuple[AdapterManifest, dict[str, Any]]:
    """`verify_adapter`, and the very weights that were checked: name → tensor on the CPU."""
    manifest = read_manifest(folder)
    _check_base(folder, manifest, base)
    _check_bounds(folder, manifest)
    contents = _check_files(folder, manifest)
    _check_config(folder, manifest, contents[CONFIG])
    return manifest, _check_weights(folder, manifest, contents[WEIGHTS])


def weights_file(folder: Path, tensors: Mapping[str, Any]) -> WeightsFile:
    """How the file of verified weights is laid out; safetensors lets no gap be in it."""
    with (folder / WEIGHTS).open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    names = sorted(tensors, key=lambda name: header[name]["data_offsets"])
    dtypes = {tensor.dtype for tensor in tensors.values()}
    return WeightsFile(
        start=8 + length,
        dtype=dtypes.pop() if len(dtypes) == 1 else None,
        shapes={name: tuple(tensors[name].shape) for name in names},
    )


def _check_base(folder: Path, manifest: AdapterManifest, base: BaseRef) -> None:
    if manifest.base_revision != base.revision:
        raise ModelError(
            f"the adapter was made for {manifest.base_name} at revision {manifest.base_revision[:12]}, "
            f"not for {base.name} at {base.revision[:12]}",
            where=str(folder),
            fix="Use the base it was made for, or train it again on this one.",
        )


def _check_bounds(folder: Path, manifest: AdapterManifest) -> None:
    if not 1 <= manifest.r <= MAX_RANK:
        raise ModelError(f"rank {manifest.r} is not in 1…{MAX_RANK}", where=str(folder), fix=_REFETCH)
    if not 0 < manifest.scale <= MAX_SCALE:
        raise ModelError(
            f"alpha {manifest.alpha} over rank {manifest.r} scales by {manifest.scale:g}; "
            f"at most {MAX_SCALE:g} is allowed",
            where=str(folder),
            fix=_REFETCH,
        )


def _check_files(folder: Path, manifest: AdapterManifest) -> dict[str, bytes]:
    places = (Path(parent, name) for parent, _, names in os.walk(folder) for name in names)
    present = {path.relative_to(folder).as_posix() for path in places} - {MANIFEST, METADATA}
    expected = set(manifest.files)
    if missing := sorted((expected | {WEIGHTS, CONFIG}) - present):
        raise ModelError(f"files are missing: {', '.join(missing)}", where=str(folder), fix=_REFETCH)
    if extra := sorted(present - expected):
        raise ModelError(
            f"files are not in the manifest: {', '.join(extra)} (pickled weights are never loaded)",
            where=str(folder),
            fix="Remove them if you know where they come from. " + _REFETCH,
        )
    contents = {name: (folder / name).read_bytes() for name in sorted(expected)}
    for name, content in contents.items():
        if _sha256(content) != manifest.files[name]:
            raise ModelError("the file was changed after the training", where=str(folder / name), fix=_REFETCH)
    if manifest.files[WEIGHTS] != manifest.weights_sha256:
        raise ModelError("the manifest names two digests of the weights", where=str(folder / MANIFEST), fix=_REFETCH)
    return contents


def _check_config(folder: Path, manifest: AdapterManifest, content: bytes) -> None:
    try:
        config = json.loads(content)
        told = (config["peft_type"], config["r"], config["lora_alpha"], tuple(sorted(config["target_modules"])))
        kinds = (config.get("use_rslora", False), config.get("use_dora", False))
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the configuration cannot be read ({error})", where=str(folder / CONFIG), fix=_REFETCH
        ) from error
    expected = ("LORA", manifest.r, manifest.alpha, tuple(sorted(manifest.target_modules)))
    if told != expected or kinds != (manifest.rslora, manifest.dora):
        raise ModelError("configuration and manifest disagree", where=str(folder / CONFIG), fix=_REFETCH)


def _check_weights(folder: Path, manifest: AdapterManifest, content: bytes) -> dict[str, Any]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    where = str(folder / WEIGHTS)
    try:
        tensors: dict[str, Any] = load(content)
    except SafetensorError as error:
        raise ModelError(f"these are no safetensors ({error})", where=where, fix=_REFETCH) from error
    if set(tensors) != set(manifest.tensors) or not tensors:
        odd = sorted(set(tensors) ^ set(manifest.tensors))
        raise ModelError(f"{len(odd)} weights are missing or too many, e.g. {odd[:1]}", where=where, fix=_REFETCH)
    for name, tensor in tensors.items():
        if problem := _problem(name, tensor, manifest):
            raise ModelError(f"{name} {problem}", where=where, fix=_REFETCH)
    return tensors


def _problem(name: str, tensor: Any, manifest: AdapterManifest) -> str | None:
    """What is wrong with one weight; None when it is sane."""
    shape = tuple(tensor.shape)
    if shape != manifest.tensors[name]:
        return f"has shape {shape} instead of {manifest.tensors[name]}"
    is_length = manifest.dora and name.endswith(".lora_magnitude_vector")
    rank_at = 0 if ".lora_A." in name or ".lora_embedding_A" in name else -1
    if not is_length and (len(shape) != 2 or shape[rank_at] != manifest.r):
        return f"has shape {shape}, which does not fit rank {manifest.r}"
    limit = MAX_LENGTH_RMS if is_length else MAX_RMS
    rms = _rms(tensor)
    if not math.isfinite(rms):
        return "holds NaN or infinity"
    if rms > limit:
        return f"is absurdly large (root mean square {rms:.3g}; at most {limit:g} is sane)"
    return None


def _rms(tensor: Any) -> float:
    """Root mean square: in single precision, and in double where the squares are too large for that."""
    import torch

    length = math.sqrt(tensor.numel()) or math.nan
    rms = float(torch.linalg.vector_norm(tensor, dtype=torch.float32)) / length
    return rms if math.isfinite(rms) else float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) / length


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _flush(folder: Path) -> None:
    """Wait until the disk has the folder: a name must never stand for half an adapter, not even after a power cut."""
    for path in [*folder.iterdir(), folder]:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
