"""`nabi export`: what other programs load says what the adapter says."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nabi.conversations.records import Message
from nabi.datasets.samples import chat_messages
from nabi.errors import ConfigError, ModelError
from nabi.personas.model import RecipeChoice
from nabi.serving.engine import Engine
from nabi.settings import Settings
from nabi.steps.export import export
from nabi.training.adapter import load_verified
from nabi.training.base_model import load_base, resolve_base
from nabi.training.progress import no_progress
from nabi.training.recipe import resolve_recipe
from nabi.training.template import end_ids
from nabi.training.tokenise import encode_prompt
from nabi.training.train import train_adapter
from nabi.wiring import Platform

MODELS = Path(__file__).resolve().parents[3] / "models"
ASKED = [
    ("라면 먹고 싶어", "봄분식", "라면"),
    ("떡볶이 파는 데 있어?", "해맑은분식", "떡볶이"),
    ("안녕! 😊 3,500원으로 뭐 먹지?", "달빛식당", "김밥"),
    ("Hi, anything with rice?", "다온식당", "볶음밥"),
]
PROMPTS = [
    chat_messages(
        "짧게 답해요.", [Message(role="user", content=question)], [{"가게": shop, "메뉴": dish, "가격": "3,500원"}]
    )
    for question, shop, dish in ASKED
]
NUM_NEW = 32


@dataclass(frozen=True)
class Home:
    platform: Platform
    adapter_dir: Path


def _home(folder: Path, make_job: Callable[..., Any], recipe: dict[str, Any]) -> Home:
    """The shipped base with one live adapter, trained for a few steps."""
    (folder / "personas").mkdir(parents=True)
    (folder / "personas" / "nabiyam.yaml").write_text("id: nabiyam\nname: 나비얌\nsystem_prompt: 짧게 답해요.\n")
    platform = Platform(Settings(home=folder, models_dir=MODELS, threads=1))
    chosen = resolve_recipe(RecipeChoice(epochs=3, learning_rate=1e-3, **recipe), resolve_base("tiny-ko", MODELS))
    job = make_job(folder, base_model="tiny-ko", models_dir=MODELS).model_copy(update={"recipe": chosen})
    trained = train_adapter(job, no_progress)
    local = platform.settings.adapters / "nabiyam" / "nabiyam--v1"
    local.parent.mkdir(parents=True)
    trained.adapter_dir.replace(local)
    platform.ledger.deploy("nabiyam", "nabiyam--v1", trained.digest, who="a test", why="a test")
    return Home(platform, local)


@pytest.fixture(scope="module")
def home(make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Home:
    return _home(tmp_path_factory.mktemp("home"), make_job, {})


def _ids_by_transformers(home: Home) -> list[list[int]]:
    """What PEFT and transformers answer greedily, token by token, without the end."""
    import torch
    from peft import PeftModel

    base = load_base(resolve_base("tiny-ko", MODELS), threads=1)
    model = PeftModel.from_pretrained(base.model, home.adapter_dir).eval()
    ends = set(end_ids(base.tokenizer))
    answers = []
    for prompt in PROMPTS:
        ids = torch.tensor([encode_prompt(base.tokenizer, prompt)])
        with torch.inference_mode():
            said = model.generate(input_ids=ids, max_new_tokens=NUM_NEW, do_sample=False)[0, ids.shape[1] :].tolist()
        answers.append([token for token in said if token not in ends])
    assert len({tuple(answer) for answer in answers}) > 2
    return answers


def test_a_merged_model_is_a_base_that_speaks_as_the_adapter(home: Home, tmp_path: Path) -> None:
    [folder] = export(home.platform, "nabiyam", None, form="merged", number_type="f32", out=tmp_path)
    adapted = Engine(load_base(resolve_base("tiny-ko", MODELS), threads=1))
    adapted.load("nabiyam--v1", home.adapter_dir)
    expected = [said.text for said in adapted.generate(PROMPTS, "nabiyam--v1", max_new_tokens=NUM_NEW)]
    merged = Engine(load_base(resolve_base(str(folder), tmp_path), threads=1))
    assert [said.text for said in merged.generate(PROMPTS, None, max_new_tokens=NUM_NEW)] == expected
    assert expected != [said.text for said in adapted.generate(PROMPTS, None, max_new_tokens=NUM_NEW)]
    told = json.loads((folder / "nabi.json").read_text())
    assert (told["version"], told["base"]) == ("nabiyam--v1", "tiny-ko")
    with pytest.raises(ConfigError, match="is there already"):
        export(home.platform, "nabiyam", None, form="merged", number_type="f32", out=tmp_path)


def test_a_dora_is_merged_as_peft_computes_it(make_job: Callable[..., Any], tmp_path: Path) -> None:
    home = _home(tmp_path / "home", make_job, {"dora": True})
    [folder] = export(home.platform, "nabiyam", None, form="merged", number_type="f32", out=tmp_path)
    base = load_base(resolve_base(str(folder), tmp_path), threads=1)
    merged = Engine(base).generate(PROMPTS, None, max_new_tokens=NUM_NEW)
    told = [base.tokenizer.decode(ids).strip() for ids in _ids_by_transformers(home)]
    assert [said.text for said in merged] == told
    pytest.importorskip("gguf")
    with pytest.raises(ModelError, match="no DoRA"):
        export(home.platform, "nabiyam", None, form="gguf-adapter", number_type="f32", out=tmp_path)
    assert not list(tmp_path.glob("*.gguf*"))


def test_without_gguf_the_remedy_is_told(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "gguf" else sys.modules[name].__spec__)
    with pytest.raises(ConfigError, match="pip install gguf"):
        export(home.platform, "nabiyam", None, form="gguf", number_type="f32", out=tmp_path)


@pytest.fixture(scope="module")
def files(home: Home, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The merged model, the adapter and its base, as files of llama.cpp."""
    pytest.importorskip("gguf", reason="gguf is not installed")
    out = tmp_path_factory.mktemp("gguf")
    [merged] = export(home.platform, "nabiyam", None, form="gguf", number_type="f32", out=out)
    adapter, base = export(home.platform, "nabiyam", None, form="gguf-adapter", number_type="f32", out=out)
    return {"merged": merged, "adapter": adapter, "base": base}


def test_a_gguf_file_holds_the_very_weights(home: Home, files: dict[str, Path]) -> None:
    import numpy as np
    from gguf import GGUFReader

    base = load_base(resolve_base("tiny-ko", MODELS), threads=1)
    weights = base.model.state_dict()
    read = {tensor.name: tensor.data for tensor in GGUFReader(files["base"]).tensors}
    assert len(read) == len(weights) - 1  # the output layer is the embedding
    assert np.array_equal(read["token_embd.weight"], weights["model.embed_tokens.weight"].numpy())
    assert np.array_equal(read["blk.3.ffn_up.weight"], weights["model.layers.3.mlp.up_proj.weight"].numpy())

    manifest, tensors = load_verified(home.adapter_dir, base.ref)
    reader = GGUFReader(files["adapter"])
    factors = {tensor.name: tensor.data for tensor in reader.tensors}
    assert len(factors) == len(tensors)
    down, up = (
        tensors[f"base_model.model.model.layers.3.mlp.up_proj.lora_{side}.weight"].numpy() for side in ("A", "B")
    )
    assert np.array_equal(factors["blk.3.ffn_up.weight.lora_a"], down)
    assert np.array_equal(factors["blk.3.ffn_up.weight.lora_b"], up)
    assert reader.get_field("adapter.lora.alpha").contents() == manifest.alpha
    assert reader.get_field("nabi.adapter_sha256").contents() == manifest.weights_sha256

    merged = {tensor.name: tensor.data for tensor in GGUFReader(files["merged"]).tensors}
    expected = read["blk.3.ffn_up.weight"] + manifest.scale * (up @ down)
    assert np.allclose(merged["blk.3.ffn_up.weight"], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("number_type", "most"), [("f16", 0.5), ("bf16", 0.5), ("q8_0", 0.3)])
def test_smaller_numbers_make_smaller_files(
    home: Home, files: dict[str, Path], tmp_path: Path, number_type: Any, most: float
) -> None:
    import numpy as np
    from gguf import GGUFReader
    from gguf.quants import dequantize

    [path] = export(home.platform, "nabiyam", None, form="gguf", number_type=number_type, out=tmp_path)
    assert path.stat().st_size < (most + 0.03) * files["merged"].stat().st_size
    exact = {tensor.name: tensor.data for tensor in GGUFReader(files["merged"]).tensors}
    for tensor in GGUFReader(path).tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        assert np.abs(values - exact[tensor.name]).max() < 0.01 * np.abs(exact[tensor.name]).max()


@pytest.fixture(scope="module")
def llama(files: dict[str, Path]) -> Iterator[Callable[..., Any]]:
    llama_cpp = pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed (pip install nabi[llama])")
    opened = []

    def load(model: Path, adapter: Path | None = None) -> Any:
        path = None if adapter is None else str(adapter)
        # Its cache is of half precision by default, which moves scores by up to 0.007: enough to turn a near tie.
        exact = {"type_k": llama_cpp.GGML_TYPE_F32, "type_v": llama_cpp.GGML_TYPE_F32}
        opened.append(llama_cpp.Llama(str(model), lora_path=path, n_ctx=512, n_threads=1, verbose=False, **exact))
        return opened[-1]

    yield load
    for model in opened:
        model.close()


def _ids_by_llama(model: Any) -> list[list[int]]:
    base = load_base(resolve_base("tiny-ko", MODELS), threads=1)
    ends = set(end_ids(base.tokenizer))
    answers = []
    for prompt in PROMPTS:
        model.reset()
        said: list[int] = []
        for token in model.generate(encode_prompt(base.tokenizer, prompt), temp=0.0):
            if token in ends or len(said) == NUM_NEW:
                break
            said.append(token)
        answers.append(said)
    return answers


def test_llama_cpp_says_the_same_tokens(home: Home, files: dict[str, Path], llama: Callable[..., Any]) -> None:
    expected = _ids_by_transformers(home)
    assert _ids_by_llama(llama(files["merged"])) == expected
    assert _ids_by_llama(llama(files["base"], files["adapter"])) == expected
    assert _ids_by_llama(llama(files["base"])) != expected


def test_llama_cpp_cuts_text_into_the_same_tokens(
    home: Home, files: dict[str, Path], llama: Callable[..., Any]
) -> None:
    base, model = load_base(resolve_base("tiny-ko", MODELS), threads=1), llama(files["base"])
    for prompt in PROMPTS:
        text = base.tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        ids = model.tokenize(text.encode(), add_bos=False, special=True)
        assert ids == encode_prompt(base.tokenizer, prompt)
    chatted = model.create_chat_completion(PROMPTS[0], max_tokens=4, temperature=0.0)
    assert chatted["usage"]["prompt_tokens"] == len(encode_prompt(base.tokenizer, PROMPTS[0]))


def test_the_command_names_what_it_wrote(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from nabi.cli import app

    monkeypatch.setattr("nabi.wiring.get_platform", lambda: home.platform)
    told = CliRunner().invoke(app, ["export", "nabiyam", "--numbers", "bf16", "--out", str(tmp_path), "--json"])
    assert told.exit_code == 0, told.output
    [folder] = json.loads(told.stdout)
    assert Path(folder, "model.safetensors").stat().st_size < 10_000_000
    shutil.rmtree(folder)
    refused = CliRunner().invoke(app, ["export", "nabiyam", "--numbers", "q8_0", "--out", str(tmp_path)])
    assert refused.exit_code == 1
    assert list(tmp_path.iterdir()) == []
