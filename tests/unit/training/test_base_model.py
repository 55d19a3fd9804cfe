from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from nabi.errors import ModelError, OutOfMemory
from nabi.training import base_model
from nabi.training.base_model import LoadedBase, context_length, load_base, resolve_base


@pytest.fixture
def copied(tiny_base_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_base_dir, tmp_path / "copied"))


def test_a_folder_is_found_by_its_name_and_by_its_path(tiny_base_dir: Path, tmp_path: Path) -> None:
    by_name = resolve_base("minute", tiny_base_dir.parent)
    by_path = resolve_base(str(tiny_base_dir), tmp_path)
    assert by_name.revision == by_path.revision
    assert by_name.source == by_path.source == str(tiny_base_dir)


def test_the_revision_follows_weights_and_tokenizer_and_nothing_else(copied: Path) -> None:
    first = resolve_base("copied", copied.parent).revision
    (copied / "README.md").write_text("new words")
    assert resolve_base("copied", copied.parent).revision == first
    tokenizer = copied / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    second = resolve_base("copied", copied.parent).revision
    assert second != first
    weights = copied / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert resolve_base("copied", copied.parent).revision not in {first, second}


def test_the_bases_own_recipe_comes_along(copied: Path) -> None:
    (copied / "recipe.json").write_text(json.dumps({"learning_rate": 5e-3}))
    assert resolve_base("copied", copied.parent).recipe == {"learning_rate": 5e-3}


@pytest.mark.parametrize(("text", "told"), [("{", "no JSON"), ("[1]", "no JSON object")])
def test_a_broken_recipe_is_named(copied: Path, text: str, told: str) -> None:
    (copied / "recipe.json").write_text(text)
    with pytest.raises(ModelError, match=told):
        resolve_base("copied", copied.parent)


def test_an_unknown_name_lists_what_there_is(tiny_base_dir: Path) -> None:
    with pytest.raises(ModelError, match=r"no base model 'tinyko'.*NABI_BASE_MODEL.*minute"):
        resolve_base("tinyko", tiny_base_dir.parent)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_that_lacks_something_says_what(copied: Path, name: str) -> None:
    (copied / name).rename(copied / "pytorch_model.bin")
    with pytest.raises(ModelError, match=f"lacks .*{Path(name).suffix}"):
        resolve_base("copied", copied.parent)


def test_a_hub_base_that_is_not_here_tells_what_to_do_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="hub cannot be reached") as caught:
        resolve_base("Qwen/Qwen2.5-3B-Instruct", tmp_path)
    assert "hf download Qwen/Qwen2.5-3B-Instruct" in str(caught.value)
    assert "NABI_BASE_MODEL" in str(caught.value)


def test_a_hub_base_in_the_cache_is_pinned_to_its_commit_and_loads_offline(
    tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit = "f" * 40
    repo = tmp_path / "models--someone--minute"
    shutil.copytree(tiny_base_dir, repo / "snapshots" / commit)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(tmp_path))
    ref = resolve_base("someone/minute", tmp_path)
    assert (ref.source, ref.revision) == ("someone/minute", commit)
    assert load_base(ref, threads=1).model.config.hidden_size == 64


def test_a_small_base_answers_with_one_thread_and_a_larger_one_with_all_cores(
    tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, cores = torch.get_num_threads(), len(os.sched_getaffinity(0))
    ref = resolve_base(str(tiny_base_dir), tiny_base_dir)
    try:
        torch.set_num_threads(cores)
        assert load_base(ref).threads == torch.get_num_threads() == 1
        monkeypatch.setattr("nabi.training.base_model.ONE_THREAD_WEIGHTS", 10)
        assert load_base(ref).threads == torch.get_num_threads() == cores
        assert load_base(ref, threads=1).threads == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_loaded_base_is_frozen_full_precision_and_greedy(tiny_base: LoadedBase) -> None:
    assert tiny_base.device == "cpu"
    assert not tiny_base.model.training
    assert all(p.dtype == torch.float32 and not p.requires_grad for p in tiny_base.model.parameters())
    assert not tiny_base.model.generation_config.do_sample
    assert context_length(tiny_base.model) == 512


def test_four_bits_are_nf4_with_double_quantisation(tiny_base_dir: Path) -> None:
    base = load_base(resolve_base("minute", tiny_base_dir.parent), four_bit=True, threads=1)
    config = base.model.config.quantization_config
    assert (config.bnb_4bit_quant_type, config.bnb_4bit_use_double_quant) == ("nf4", True)
    assert base.model.model.layers[0].mlp.up_proj.weight.dtype == torch.uint8


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA error: out of memory")])
def test_a_base_too_large_for_the_memory_is_told_with_both_figures(
    tiny_base_dir: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def no_room(*_: object) -> None:
        raise error

    monkeypatch.setattr(base_model, "_load_weights", no_room)
    with pytest.raises(OutOfMemory, match=r"\d+\.\d GiB were free, and its weights' files hold 0\.0 GiB") as caught:
        load_base(resolve_base("minute", tiny_base_dir.parent))
    assert "four_bit" in str(caught.value.fix)


def test_damaged_weights_are_a_clear_error(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base(resolve_base("copied", copied.parent))
