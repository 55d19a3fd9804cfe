from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nabi.errors import ModelError
from nabi.serving.blocks import BARE, Block
from nabi.serving.reading import AdapterReader
from nabi.serving.slots import AdapterSlots
from nabi.training.adapter import load_verified, read_manifest, weights_file
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.training.progress import no_progress
from nabi.training.train import train_adapter


@pytest.fixture(scope="module")
def folders(
    trained_adapter: tuple[Any, Any], make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    """All linear layers, rank 4; two of them, rank 2; all, rank 24 and rsLoRA; three with DoRA."""
    recipes: list[dict[str, Any]] = [
        {"r": 2, "alpha": 8, "target_modules": ("q_proj", "v_proj")},
        {"r": 24, "alpha": 24, "epochs": 1, "rslora": True},
        {"r": 4, "alpha": 8, "epochs": 1, "dora": True, "target_modules": ("q_proj", "up_proj", "down_proj")},
    ]
    made = [
        train_adapter(make_job(tmp_path_factory.mktemp("slots"), recipe=recipe), no_progress).adapter_dir
        for recipe in recipes
    ]
    return [trained_adapter[1].adapter_dir, *made]


@pytest.fixture
def base(tiny_base_dir: Path) -> LoadedBase:
    return load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)


def _put(slots: AdapterSlots, slot: int, folder: Path, base: LoadedBase) -> None:
    manifest, tensors = load_verified(folder, base.ref)
    slots.write(slot, manifest, tensors, where=folder)


def _by_peft(folder: Path, tiny_base_dir: Path, ids: torch.Tensor) -> torch.Tensor:
    from peft import PeftModel

    model = PeftModel.from_pretrained(
        load_base(resolve_base("minute", tiny_base_dir.parent), threads=1).model, folder
    ).eval()
    with torch.inference_mode():
        return model(ids).logits


def _ids(rows: int) -> torch.Tensor:
    return torch.randint(3, 400, (rows, 17), generator=torch.Generator().manual_seed(3))


def _logits(base: LoadedBase, slots: AdapterSlots, chosen: list[int], ids: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode(), slots.speaking(chosen):
        return base.model(ids).logits


def test_each_row_of_a_mixed_batch_is_what_peft_computes_for_its_adapter(
    folders: list[Path], base: LoadedBase, tiny_base_dir: Path
) -> None:
    slots = AdapterSlots(base.model, 3)
    slots.add_slots(1)
    ids = _ids(6)
    with torch.inference_mode():
        bare = base.model(ids).logits
    for slot, folder in enumerate(folders, start=1):
        _put(slots, slot, folder, base)
    mixed = _logits(base, slots, [3, BARE, 1, 2, 4, 1], ids)
    expected = [_by_peft(folder, tiny_base_dir, ids) for folder in folders]
    for row, slot in enumerate([3, BARE, 1, 2, 4, 1]):
        wanted = bare[row] if slot == BARE else expected[slot - 1][row]
        assert torch.allclose(mixed[row], wanted, rtol=0, atol=1e-5)
        assert slot == BARE or not torch.allclose(mixed[row], bare[row], atol=1e-2)


def test_one_adapter_for_the_whole_batch_is_what_peft_computes(
    folders: list[Path], base: LoadedBase, tiny_base_dir: Path
) -> None:
    slots = AdapterSlots(base.model, 1)
    ids = _ids(4)
    for folder in folders:  # one after the other in the same slot: nothing of the last one may stay
        _put(slots, 1, folder, base)
        assert torch.allclose(_logits(base, slots, [1], ids), _by_peft(folder, tiny_base_dir, ids), rtol=0, atol=1e-5)


def test_a_slot_written_while_its_rows_were_gathered_speaks_with_the_new_weights(
    folders: list[Path], base: LoadedBase
) -> None:
    slots = AdapterSlots(base.model, 2)
    ids = _ids(2)
    _put(slots, 1, folders[0], base)
    before = _logits(base, slots, [1, BARE], ids)
    with torch.inference_mode(), slots.speaking([1, BARE]):
        base.model(ids)
        _put(slots, 1, folders[1], base)
        after = base.model(ids).logits
    assert not torch.allclose(before[0], after[0], atol=1e-3)
    assert torch.allclose(before[1], after[1], atol=1e-5)


def test_slots_that_are_added_leave_the_others_as_they_are(
    folders: list[Path], base: LoadedBase, tiny_base_dir: Path
) -> None:
    slots = AdapterSlots(base.model, 1)
    ids = _ids(3)
    _put(slots, 1, folders[3], base)
    slots.add_slots(2)
    _put(slots, 3, folders[0], base)
    mixed = _logits(base, slots, [1, 2, 3], ids)
    with torch.inference_mode():
        assert torch.allclose(mixed[1], base.model(ids).logits[1], rtol=0, atol=1e-5)
    for row, folder in ((0, folders[3]), (2, folders[0])):
        assert torch.allclose(mixed[row], _by_peft(folder, tiny_base_dir, ids)[row], rtol=0, atol=1e-5)


def _reread(reader: AdapterReader, folder: Path) -> tuple[Any, Block]:
    manifest, block = reader.read(folder)
    assert isinstance(block, Block)
    return manifest, block


def test_a_block_read_from_the_file_speaks_as_peft_whatever_was_in_it_before(
    folders: list[Path], base: LoadedBase, tiny_base_dir: Path
) -> None:
    slots = AdapterSlots(base.model, 2)
    reader = AdapterReader(base.ref, slots)
    ids = _ids(2)
    time.sleep(0.2)  # what was trained just now is not remembered
    for slot, folder in enumerate((folders[3], folders[0]), start=1):
        manifest, tensors = reader.read(folder)
        slots.write(slot, manifest, tensors, where=folder)
    expected = _by_peft(folders[0], tiny_base_dir, ids)
    for slot in (1, 2):  # first over the DoRA, then with the DoRA's block
        manifest, block = _reread(reader, folders[0])
        slots.write(slot, manifest, block, where=folders[0])
        assert torch.allclose(_logits(base, slots, [slot], ids), expected, rtol=0, atol=1e-5)
    assert torch.allclose(_logits(base, slots, [1, BARE], ids)[0], expected[0], rtol=0, atol=1e-5)


def test_a_block_whose_slots_were_laid_out_anew_meanwhile_speaks_as_peft(
    folders: list[Path], base: LoadedBase, tiny_base_dir: Path
) -> None:
    slots = AdapterSlots(base.model, 2)
    reader = AdapterReader(base.ref, slots)
    ids = _ids(2)
    time.sleep(0.2)
    manifest, tensors = reader.read(folders[0])
    slots.write(1, manifest, tensors, where=folders[0])
    manifest, block = _reread(reader, folders[0])
    _put(slots, 1, folders[2], base)  # wider
    slots.write(2, manifest, block, where=folders[0])
    expected = _by_peft(folders[0], tiny_base_dir, ids)
    assert torch.allclose(_logits(base, slots, [2], ids), expected, rtol=0, atol=1e-5)


def test_a_block_of_another_number_type_is_copied_and_read_into_again(folders: list[Path], base: LoadedBase) -> None:
    slots = AdapterSlots(base.model, 1)
    ids = _ids(2)
    manifest, tensors = load_verified(folders[0], base.ref)
    slots.write(1, manifest, tensors, where=folders[0])
    exact = _logits(base, slots, [1], ids)
    weights = replace(weights_file(folders[0], tensors), dtype=torch.float16)
    for _ in range(2):
        block = slots.room(weights)
        assert block is not None
        block.fill(tensors)
        slots.write(1, manifest, block, where=folders[0])
        assert torch.allclose(_logits(base, slots, [1], ids), exact, rtol=0, atol=1e-2)
        assert not torch.equal(_logits(base, slots, [1], ids), exact)
    assert slots.room(weights) is block


class _TwoInputs(torch.nn.Module):
    """Siblings with names of layers that read the same input, and inputs of their own."""

    dtype, device = torch.float32, torch.device("cpu")

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj = (torch.nn.Linear(8, 8, bias=False) for _ in range(2))

    def get_output_embeddings(self) -> None:
        return None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.q_proj(x) + self.k_proj(2 * x)


def test_layers_that_only_look_as_if_they_read_the_same_are_given_their_own_input(folders: list[Path]) -> None:
    model = _TwoInputs().requires_grad_(False)
    manifest = read_manifest(folders[0])
    tensors = {
        f"base_model.model.{name}.lora_{factor}.weight": torch.randn(4, 8) if factor == "A" else torch.randn(8, 4)
        for name in ("q_proj", "k_proj")
        for factor in "AB"
    }
    slots = AdapterSlots(model, 1)
    slots.write(1, manifest, tensors, where=folders[0])
    x = torch.randn(2, 3, 8)
    bare = model(x)
    added = [
        tensors[f"base_model.model.{name}.lora_B.weight"] @ tensors[f"base_model.model.{name}.lora_A.weight"]
        for name in ("q_proj", "k_proj")
    ]
    wanted = bare + manifest.scale * (x @ added[0].T + 2 * x @ added[1].T)
    for chosen in ([1], [1, BARE]):
        with slots.speaking(chosen):
            assert torch.allclose(model(x)[0], wanted[0], atol=1e-4)


def test_a_dora_over_a_four_bit_base_is_what_peft_computes(folders: list[Path], tiny_base_dir: Path) -> None:
    from peft import PeftModel

    ref, ids = resolve_base("minute", tiny_base_dir.parent), _ids(2)
    base = load_base(ref, four_bit=True, threads=1)
    slots = AdapterSlots(base.model, 1)
    _put(slots, 1, folders[3], base)
    found = _logits(base, slots, [1], ids)
    model = PeftModel.from_pretrained(load_base(ref, four_bit=True, threads=1).model, folders[3]).eval()
    with torch.inference_mode():
        assert torch.allclose(found, model(ids).logits, rtol=0, atol=1e-4)


def test_outside_and_after_closing_the_base_is_bare(folders: list[Path], base: LoadedBase) -> None:
    ids = _ids(2)
    with torch.inference_mode():
        bare = base.model(ids).logits
        slots = AdapterSlots(base.model, 1)
        _put(slots, 1, folders[0], base)
        assert slots.slot_bytes > 0
        assert torch.equal(base.model(ids).logits, bare)
        slots.close()
        with slots.speaking([1]):
            assert torch.equal(base.model(ids).logits, bare)


def test_weights_for_layers_that_the_base_lacks_are_refused(folders: list[Path], base: LoadedBase) -> None:
    slots = AdapterSlots(base.model, 1)
    manifest, tensors = load_verified(folders[0], base.ref)
    foreign = {name.replace("layers.1", "layers.9"): tensor for name, tensor in tensors.items()}
    with pytest.raises(ModelError, match=r"layers\.9.* is no linear layer of it"):
        slots.write(1, manifest, foreign, where=folders[0])
    narrow = {name: tensor[:, :8] if "lora_A" in name else tensor for name, tensor in tensors.items()}
    with pytest.raises(ModelError, match="another shape"):
        slots.write(1, manifest, narrow, where=folders[0])
