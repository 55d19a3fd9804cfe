"""A truly bad adapter goes live over the shipped base, and the watch takes it back without anybody's doing."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import torch
from peft import LoraConfig
from served_home import put_live, serving

from nabi.errors import ConfigError
from nabi.settings import Settings
from nabi.training.adapter import Provenance, write_adapter
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.wiring import Platform

MODELS = Path(__file__).resolve().parents[3] / "models"
QUESTIONS = (
    "라면 먹고 싶어",
    "안녕하세요",
    "떡볶이 파는 곳 알려 줘",
    "5천원으로 뭐 먹지?",
    "고마워요",
    "여기 몇 시에 열어?",
)


def _adapter(folder: Path, base: LoadedBase, strength: float) -> str:
    """An adapter of what every attention puts out, of noise of this strength; its digest. At 0 it changes nothing."""
    folder.mkdir(parents=True)
    drawn = torch.Generator().manual_seed(1)
    tensors = {}
    for name, module in base.model.named_modules():
        if name.endswith("o_proj"):
            down = torch.randn((4, module.in_features), generator=drawn) * 0.5
            up = torch.randn((module.out_features, 4), generator=drawn) * strength
            tensors |= {
                f"base_model.model.{name}.lora_A.weight": down,
                f"base_model.model.{name}.lora_B.weight": up,
            }
    manifest = write_adapter(
        folder,
        provenance=Provenance(
            persona_id="mari",
            base_name=base.ref.name,
            base_revision=base.ref.revision,
            dataset_version="none",
            dataset_digest="none",
            commit="none",
            arguments={},
            libraries={},
        ),
        tensors=tensors,
        config=LoraConfig(r=4, lora_alpha=16, target_modules=["o_proj"]).to_dict(),
        tokenizer=base.tokenizer,
        metadata={},
    )
    return manifest.weights_sha256


@pytest.mark.slow
def test_a_truly_bad_adapter_is_taken_back_by_itself_and_for_good(tmp_path: Path, empty_mlflow: Path) -> None:
    home = tmp_path / "home"
    (home / "personas").mkdir(parents=True)
    (home / "personas" / "mari.yaml").write_text(
        "id: mari\nname: 마리\nsystem_prompt: 짧게 답해요.\nuses_facts: false\n"
    )
    platform = Platform(
        Settings(
            home=home,
            models_dir=MODELS,
            base_model="tiny-ko",
            threads=1,
            watch_seconds=0.5,
            requests_per_minute=1_000_000,  # how many are asked until the watch is sure depends on the machine
        )
    )
    base = load_base(resolve_base("tiny-ko", MODELS), threads=1)
    good, bad = _adapter(tmp_path / "good", base, 0.0), _adapter(tmp_path / "bad", base, 2.0)
    put_live(platform, "mari--v1", tmp_path / "good", good)
    shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
    with serving(platform) as url, ThreadPoolExecutor(16) as pool:
        token = (platform.settings.state / "secrets" / "chat.token").read_text()
        http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=120)

        def ask(number: int) -> str:
            messages = [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}]
            body = {"model": "mari", "messages": messages, "max_tokens": 16, "temperature": 0.7, "seed": number}
            answer = http.post("/v1/chat/completions", json=body)
            answer.raise_for_status()
            return str(answer.json()["model"])

        assert set(pool.map(ask, range(52))) == {"mari--v1"}
        put_live(platform, "mari--v2", tmp_path / "bad", bad)
        answered: list[str] = []
        while "mari--v2" not in answered or answered[-1] != "mari--v1":
            answered += pool.map(ask, range(len(answered), len(answered) + 16))
        assert answered.count("mari--v2") < 400
    last = platform.ledger.history("mari")[-1]
    assert (last.action, last.champion, last.who) == ("rollback", "mari--v1", "the watch")
    assert last.why.startswith("worse than mari--v1: ")
    assert platform.rollouts.why_barred("mari--v2") == last.why
    with pytest.raises(ConfigError, match="must not be live again"):
        platform.ledger.promote("mari", "mari--v2", bad, who="somebody", why="I like it")
