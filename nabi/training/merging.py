"""An adapter merged into its base: one model that needs nobody to know what LoRA is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nabi.errors import ModelError
from nabi.training.adapter import AdapterManifest, load_verified
from nabi.training.base_model import LoadedBase

_PREFIX = "base_model.model."


def merge(base: LoadedBase, folder: Path) -> AdapterManifest:
    """Add a verified adapter to the weights of a base, which is that adapter's from then on.

    Computed in float32 whatever the base's type is: rounding happens once, at the end.

    Raises:
        ModelError: the adapter fails `verify_adapter` or does not fit the base, or the base is quantised.
    """
    import torch

    manifest, tensors = load_verified(folder, base.ref)
    layers = dict(base.model.named_modules())
    names = sorted({name.removeprefix(_PREFIX).rpartition(".lora_")[0] for name in tensors})
    with torch.inference_mode():
        for name in names:
            weight = getattr(layers.get(name), "weight", None)
            if weight is None or not weight.dtype.is_floating_point:
                raise ModelError(
                    f"the adapter cannot be merged: the loaded base has no plain weights at {name}",
                    where=str(folder),
                    fix="Load the base it was made for, without four_bit.",
                )
            weight.copy_(_merged(weight, tensors, f"{_PREFIX}{name}", manifest.scale))
    return manifest


def _merged(weight: Any, tensors: Mapping[str, Any], name: str, scale: float) -> Any:
    down, up = (tensors[f"{name}.lora_{side}.weight"].to(weight.device).float() for side in ("A", "B"))
    whole = weight.float() + scale * (up @ down)
    lengths = tensors.get(f"{name}.lora_magnitude_vector")
    if lengths is None:
        return whole
    return whole * (lengths.to(weight.device).float() / whole.norm(dim=1))[:, None]
