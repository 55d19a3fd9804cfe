from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nabi.errors import ModelError
from nabi.training.adapter import read_manifest, verify_adapter
from nabi.training.base_model import BaseRef, resolve_base

WEIGHTS = "adapter_model.safetensors"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def base(tiny_base_dir: Path) -> BaseRef:
    return resolve_base("minute", tiny_base_dir.parent)


@pytest.fixture
def folder(trained_adapter: tuple[Any, Any], tmp_path: Path) -> Path:
    """A copy of a good adapter, to be spoiled."""
    return Path(shutil.copytree(trained_adapter[1].adapter_dir, tmp_path / "adapter"))


def _edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def _forge(folder: Path, change: Callable[[Tensors], None]) -> None:
    """Change the weights and correct the digests too, as a careful forger or a broken training would."""
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    _resign(folder, WEIGHTS)


def _resign(folder: Path, name: str) -> None:
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()

    def change(manifest: dict[str, Any]) -> None:
        manifest["files"][name] = digest
        if name == WEIGHTS:
            manifest["weights_sha256"] = digest

    _edit_manifest(folder, change)


def test_a_good_adapter_passes_and_tells_where_it_comes_from(
    folder: Path, base: BaseRef, trained_adapter: tuple[Any, Any]
) -> None:
    job, result = trained_adapter
    manifest = verify_adapter(folder, base)
    assert manifest.weights_sha256 == result.digest
    assert (manifest.persona_id, manifest.dataset_version, manifest.commit) == ("nabiyam", "v1", "c" * 40)
    assert (manifest.base_name, manifest.base_revision) == ("minute", base.revision)
    assert manifest.arguments["seed"] == 11
    assert manifest.arguments["recipe"]["learning_rate"] == 5e-3
    assert manifest.arguments["train_sha256"] == hashlib.sha256(job.train_file.read_bytes()).hexdigest()
    assert set(manifest.libraries) >= {"torch", "transformers", "peft"}
    assert (manifest.r, manifest.alpha) == (4, 8)
    assert manifest.target_modules == tuple(sorted(manifest.target_modules))
    assert len(manifest.tensors) == 2 * 2 * 7  # A and B of seven linear modules in two layers


def test_the_folder_holds_no_path_of_this_machine_and_no_time(folder: Path, tiny_base_dir: Path) -> None:
    """Else two equal trainings would differ in their bytes."""
    for path in folder.iterdir():
        if path.suffix in {".json", ".jinja"} and path.name != "metadata.json":
            assert str(tiny_base_dir.parent) not in path.read_text(), path.name
    assert "finished_at" not in (folder / "manifest.json").read_text()
    assert "finished_at" in (folder / "metadata.json").read_text()


def test_peft_and_transformers_load_the_folder_by_themselves(folder: Path, tiny_base_dir: Path) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tiny_base_dir), folder)
    assert model.peft_config["default"].r == 4
    assert AutoTokenizer.from_pretrained(folder).encode("라면")


def test_changed_weights_are_refused(folder: Path, base: BaseRef) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)
    with pytest.raises(ModelError, match="changed after the training"):
        verify_adapter(folder, base)


@pytest.mark.parametrize("name", ["tokenizer.json", "adapter_config.json"])
def test_every_other_changed_file_is_refused_too(folder: Path, base: BaseRef, name: str) -> None:
    (folder / name).write_text((folder / name).read_text() + " ")
    with pytest.raises(ModelError, match=f"{name}: the file was changed"):
        verify_adapter(folder, base)


@pytest.mark.parametrize("name", [WEIGHTS, "adapter_config.json", "tokenizer.json"])
def test_a_missing_file_is_named(folder: Path, base: BaseRef, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ModelError, match=f"files are missing: {name}"):
        verify_adapter(folder, base)


@pytest.mark.parametrize("name", ["adapter_model.bin", "sub/evil.py"])
def test_an_extra_file_is_refused(folder: Path, base: BaseRef, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=f"not in the manifest: {name}"):
        verify_adapter(folder, base)


def test_pickled_weights_are_refused_even_when_the_manifest_names_them(folder: Path, base: BaseRef) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "adapter_model.bin").write_bytes(b"x")
    _edit_manifest(folder, lambda manifest: manifest["files"].pop(WEIGHTS))
    _resign(folder, "adapter_model.bin")
    with pytest.raises(ModelError, match="files are missing"):
        verify_adapter(folder, base)


def test_an_adapter_of_another_base_is_refused(folder: Path, base: BaseRef) -> None:
    with pytest.raises(ModelError, match="was made for minute at revision"):
        verify_adapter(folder, replace(base, revision="0" * 64))


def _with_nan(tensors: Tensors) -> None:
    next(iter(tensors.values()))[0, 0] = float("nan")


def _with_infinity(tensors: Tensors) -> None:
    next(iter(tensors.values()))[0, 0] = float("inf")


def _times_ten_thousand(tensors: Tensors) -> None:
    for tensor in tensors.values():
        tensor.mul_(1e4)


def _with_a_huge_one(tensors: Tensors) -> None:
    next(iter(tensors.values()))[0, 0] = 1e30


def _without_one(tensors: Tensors) -> None:
    tensors.pop(sorted(tensors)[0])


def _with_one_more(tensors: Tensors) -> None:
    tensors["base_model.model.lm_head.lora_A.weight"] = torch.zeros(4, 64)


def _with_another_shape(tensors: Tensors) -> None:
    name = sorted(tensors)[0]
    tensors[name] = torch.zeros(4, 63)


def _empty(tensors: Tensors) -> None:
    tensors.clear()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_with_nan, "NaN or infinity"),
        (_with_infinity, "NaN or infinity"),
        (_times_ten_thousand, "absurdly large"),
        (_with_a_huge_one, "absurdly large"),
        (_without_one, "1 weights are missing or too many"),
        (_with_one_more, "1 weights are missing or too many"),
        (_with_another_shape, r"has shape \(4, 63\) instead of"),
        (_empty, "weights are missing or too many"),
    ],
)
def test_insane_weights_are_refused_even_with_right_digests(
    folder: Path, base: BaseRef, change: Callable[[Tensors], None], told: str
) -> None:
    """PEFT 0.21 loads every one of these without a word."""
    _forge(folder, change)
    with pytest.raises(ModelError, match=told):
        verify_adapter(folder, base)


@pytest.mark.parametrize(
    ("kept", "told"), [(0.0, "these are no safetensors"), (0.5, "these are no safetensors")], ids=["empty", "half"]
)
def test_an_empty_and_a_half_file_are_refused_even_with_right_digests(
    folder: Path, base: BaseRef, kept: float, told: str
) -> None:
    """As a copy leaves them that ended too soon, before its digest was taken."""
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(ModelError, match="changed after the training"):
        verify_adapter(folder, base)
    _resign(folder, WEIGHTS)
    with pytest.raises(ModelError, match=told):
        verify_adapter(folder, base)


def test_a_flipped_bit_anywhere_in_the_weights_is_refused(folder: Path, base: BaseRef) -> None:
    """In the header, in the first weight, in the middle: PEFT loads the last two without a word."""
    content = (folder / WEIGHTS).read_bytes()
    header = 8 + int.from_bytes(content[:8], "little")
    for place in (20, header, header + 2, len(content) // 2):
        flipped = bytearray(content)
        flipped[place] ^= 0x40
        (folder / WEIGHTS).write_bytes(flipped)
        with pytest.raises(ModelError, match="changed after the training"):
            verify_adapter(folder, base)


def test_a_rank_that_the_shapes_do_not_have_is_refused(folder: Path, base: BaseRef) -> None:
    def change(manifest: dict[str, Any]) -> None:
        manifest["r"] = 5

    _edit_manifest(folder, change)
    config = json.loads((folder / "adapter_config.json").read_text()) | {"r": 5}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    _resign(folder, "adapter_config.json")
    with pytest.raises(ModelError, match="does not fit rank 5"):
        verify_adapter(folder, base)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("alpha", 1_000_000, "scales by 250000"),
        ("alpha", 0, "scales by 0"),
        ("r", 0, "rank 0 is not in"),
        ("r", 512, "rank 512 is not in"),
        ("r", 20_000, "rank 20000 is not in"),
        ("format_version", 2, "format_version"),
        ("tensors", None, "tensors"),
    ],
)
def test_a_manifest_out_of_bounds_is_refused(folder: Path, base: BaseRef, field: str, value: Any, told: str) -> None:
    _edit_manifest(folder, lambda manifest: manifest.update({field: value}))
    with pytest.raises(ModelError, match=told):
        verify_adapter(folder, base)


def test_a_configuration_that_contradicts_the_manifest_is_refused(folder: Path, base: BaseRef) -> None:
    """Other tools read the configuration, not the manifest."""
    config = json.loads((folder / "adapter_config.json").read_text()) | {"lora_alpha": 9}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    _resign(folder, "adapter_config.json")
    with pytest.raises(ModelError, match="configuration and manifest disagree"):
        verify_adapter(folder, base)


def test_a_folder_without_a_manifest_is_no_adapter(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(ModelError, match="has no manifest"):
        read_manifest(folder)
