"""A version for other programs: merged into its base, as a folder of transformers or as a file of llama.cpp."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from nabi.errors import ConfigError
from nabi.integrations.gguf_files import NumberType, require_gguf, write_adapter, write_model
from nabi.training.adapter import load_verified, read_manifest
from nabi.training.base_model import load_base
from nabi.training.merging import merge
from nabi.wiring import Platform

Format = Literal["merged", "gguf", "gguf-adapter"]


def export(
    platform: Platform, persona_id: str, version: str | None, *, form: Format, number_type: NumberType, out: Path
) -> list[Path]:
    """Write a version of a persona; what was written.

    Args:
        version: as people call it; None for what is live.
        form: `merged` a folder that transformers, vLLM or nabi itself loads as a base; `gguf` the same as one file;
            `gguf-adapter` the adapter alone, and its base beside it.
        number_type: of the weights.
        out: the folder to write into; what is there under the same name is not overwritten.

    Raises:
        ConfigError: nothing is live, the version is not known, the format does not have these numbers, or the name
            is taken.
        ModelError: the version is damaged, or llama.cpp cannot have such a model.
    """
    persona = platform.persona(persona_id)
    name, folder = _find(platform, persona_id, version)
    ref = platform.base(persona)
    files = _files(form, name, ref.name.replace("/", "_"), number_type, out)
    if taken := [path for path in files if path.exists()]:
        raise ConfigError(f"{taken[0]} is there already.", fix="Remove it, or choose another folder with --out.")
    if form == "merged" and number_type == "q8_0":
        raise ConfigError("a merged folder holds f32, f16 or bf16.", where="--numbers")
    if form != "merged":
        require_gguf()
    base = load_base(ref, threads=platform.settings.threads)
    manifest = read_manifest(folder)
    notes = {
        "version": name,
        "adapter_sha256": manifest.weights_sha256,
        "base": ref.name,
        "base_revision": ref.revision,
        "dataset_version": manifest.dataset_version,
    }
    out.mkdir(parents=True, exist_ok=True)
    if form == "gguf-adapter":
        manifest, tensors = load_verified(folder, ref)
        base_notes = {"version": ref.name, "base_revision": ref.revision}
        write_adapter(files[0], base.model, tensors, manifest.scale, number_type=number_type, notes=notes)
        write_model(files[1], base.model, base.tokenizer, number_type=number_type, notes=base_notes)
        return files
    merge(base, folder)
    if form == "gguf":
        write_model(files[0], base.model, base.tokenizer, number_type=number_type, notes=notes)
        return files
    import torch

    types = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
    incoming = files[0].with_name(files[0].name + ".incoming")
    base.model.to(types[number_type]).save_pretrained(incoming)
    base.tokenizer.save_pretrained(incoming)
    (incoming / "nabi.json").write_text(json.dumps(notes, indent=2) + "\n", encoding="utf-8")
    incoming.replace(files[0])
    return files


def _find(platform: Platform, persona_id: str, version: str | None) -> tuple[str, Path]:
    """The version's name and its folder; what is live is found without MLflow when it is on this machine."""
    if version is None:
        live = platform.ledger.live(persona_id)
        if live is None:
            raise ConfigError(f"{persona_id} has no live adapter.", fix=f"Train one: nabi run --persona {persona_id}")
        local = platform.settings.adapters / persona_id / live.champion
        if local.is_dir():
            return live.champion, local
        version = live.champion
    known = platform.registry.version_called(persona_id, version)
    return known.name, platform.registry.folder_of(known)


def _files(form: Format, name: str, base: str, number_type: NumberType, out: Path) -> list[Path]:
    if form == "merged":
        return [out / f"{name}-merged"]
    if form == "gguf":
        return [out / f"{name}-{number_type}.gguf"]
    return [out / f"{name}-adapter-{number_type}.gguf", out / f"{base}-{number_type}.gguf"]
