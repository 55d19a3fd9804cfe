"""A build of a few steps: the whole way from text to a folder that loads, twice the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nabi.training.tiny_base import pretrain
from nabi.training.tiny_base.build import build_base
from nabi.training.tiny_base.pretrain import Plan

TOKENIZER = Path(__file__).parents[3] / "models" / "tiny-ko" / "tokenizer.json"
SHORT = Plan(tokens=4_000, batch_tokens=1_024)


@pytest.fixture(scope="module")
def two_builds(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("builds")
    heard: list[tuple[float, str]] = []
    built = [
        build_base(root / name, seed=3, threads=1, plan=SHORT, probes=8, on_progress=lambda *told: heard.append(told))
        for name in ("first", "second")
    ]
    return root, built, heard


def test_the_same_seed_gives_the_same_weights(two_builds) -> None:
    _, (first, second), _ = two_builds
    assert first.weights_sha256 == second.weights_sha256


def test_the_folder_loads_and_holds_its_report(two_builds) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    root, (first, _), _ = two_builds
    folder = root / "first"
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(folder))
    published = json.loads((folder / "build.json").read_text())
    assert published["weights_sha256"] == first.weights_sha256
    assert published["probe"]["perplexity"]["all"] > 1
    assert "tiny-ko" in (folder / "BUILD.md").read_text()


def test_progress_runs_from_nothing_to_done_and_leaves_no_scratch(two_builds) -> None:
    root, _, heard = two_builds
    assert heard[0][0] == 0.0
    assert heard[-1][0] == 1.0
    assert sorted(path.name for path in root.iterdir()) == ["first", "second"]


def test_another_folder_is_left_alone_until_all_is_done(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text("{}")

    def stop(share: float, message: str) -> None:
        if share > 0.1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_base(tmp_path, seed=3, threads=1, plan=SHORT, probes=8, on_progress=stop)
    assert (tmp_path / "recipe.json").read_text() == "{}"
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


@pytest.mark.parametrize(("able", "mixed"), [("bfloat16", True), ("float32", False)])
def test_it_multiplies_in_what_the_processor_can(monkeypatch: pytest.MonkeyPatch, able: str, mixed: bool) -> None:
    import torch
    from tokenizers import Tokenizer

    seen: list[bool] = []

    def cheap_loss(model: Any, _rows: object) -> torch.Tensor:  # emulated bfloat16 would take a minute here
        seen.append(torch.is_autocast_enabled("cpu"))
        return torch.stack([parameter.square().mean() for parameter in model.parameters()]).sum()

    monkeypatch.setattr(pretrain, "precision", lambda _device: able)
    monkeypatch.setattr(pretrain, "weighted_loss", cheap_loss)
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    model = pretrain.make_model(tokenizer.get_vocab_size(), seed=3)
    pretrain.pretrain(model, tokenizer, Plan(tokens=100, batch_tokens=128), 3, lambda _share, _text: None)
    assert set(seen) == {mixed}
