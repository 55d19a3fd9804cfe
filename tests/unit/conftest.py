"""A minute base model for tests that need a real one but no skill of it."""

from __future__ import annotations

import os

# Read once, when torch is imported: two spinning threads on a busy machine are slower than one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

CORPUS = [
    "안녕하세요! 떡볶이 4,500원 어때요? 착한가게예요! 😊",
    "해맑은분식에서 김밥 3,000원에 먹을 수 있어요.",
    "참고 정보:\n- 가게: 봄분식 | 메뉴: 라면 | 가격: 3,500원",
    "참고 정보: 없음",
    "모르겠어요. 다시 물어봐 주세요.",
    "system user assistant",
] * 20


def build_tiny_base(folder: Path) -> Path:
    """A random Qwen3 (hidden 64, 2 layers, 512 positions) with a byte-level BPE tokenizer and a marked template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    from nabi.training.template import CHATML_TEMPLATE

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = CHATML_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(7)
    config = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        # Larger than usual: with the usual 0.02 a random model says the same token whatever it reads.
        initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_base_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the minute base; its parent serves as `models_dir`, its name is `minute`. Read-only by agreement."""
    return build_tiny_base(tmp_path_factory.mktemp("models") / "minute")


@pytest.fixture(scope="session")
def tiny_base(tiny_base_dir: Path) -> Any:
    """The minute base in memory. Adapters may not be put on it: load another where a test trains or serves."""
    from nabi.training.base_model import load_base, resolve_base

    return load_base(resolve_base("minute", tiny_base_dir.parent), threads=1)


@pytest.fixture(scope="session")
def make_job(tiny_base_dir: Path) -> Callable[..., Any]:
    """Makes a training job of a few steps in a folder of its own; keyword arguments replace fields of the job."""
    from nabi.training.recipe import Recipe
    from nabi.training.train import TrainingJob

    def make(folder: Path, *, num_samples: int = 8, recipe: dict[str, Any] | None = None, **changes: Any) -> Any:
        for name, count in (("train.jsonl", num_samples), ("holdout.jsonl", 3)):
            samples = [make_sample(number, name) for number in range(count)]
            (folder / name).write_text("".join(sample.model_dump_json() + "\n" for sample in samples))
        values: dict[str, Any] = {
            "persona_id": "nabiyam",
            "system_prompt": "짧게 답해요.",
            "uses_facts": True,
            "base_model": "minute",
            "models_dir": tiny_base_dir.parent,
            "train_file": folder / "train.jsonl",
            "holdout_file": folder / "holdout.jsonl",
            "recipe": Recipe(**{"r": 4, "alpha": 8, "epochs": 2, "learning_rate": 5e-3, **(recipe or {})}),
            "seed": 11,
            "out_dir": folder / "adapter",
            "dataset_version": "v1",
            "dataset_digest": "d" * 32,
            "commit": "c" * 40,
            "threads": 1,
        }
        return TrainingJob(**(values | changes))

    return make


def make_sample(number: int, prefix: str) -> Any:
    from nabi.conversations.records import Message
    from nabi.datasets.samples import Sample

    answer = f"봄분식에서 라면 {number},500원 어때요? 😊"
    return Sample(
        sample_id=f"{prefix}-{number}",
        conversation_id=f"{prefix}-c{number}",
        persona_id="nabiyam",
        source="bootstrap",
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
        facts=({"가게": "봄분식", "메뉴": "라면", "가격": f"{number},500원"},),
        messages=(Message(role="user", content="라면 먹고 싶어"), Message(role="assistant", content=answer)),
    )


@pytest.fixture(scope="session")
def trained_adapter(make_job: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """One finished training over the minute base: (job, result). Read-only: copy the folder before changing it."""
    from nabi.training.progress import no_progress
    from nabi.training.train import train_adapter

    job = make_job(tmp_path_factory.mktemp("trained"))
    return job, train_adapter(job, no_progress)
