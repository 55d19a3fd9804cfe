"""What the parts of `benchmarks/serving.py` are made of: adapters, prompts, clocks, and child processes.

The adapters are real: trainings of a few steps over the base, and copies of one with noise of their own.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from training_job import training_job, write_samples

from nabi.conversations.records import Message
from nabi.datasets.samples import Sample, chat_messages
from nabi.personas.model import RecipeChoice
from nabi.serving.residents import Adapter
from nabi.training.adapter import Provenance, load_verified, write_adapter
from nabi.training.base_model import LoadedBase, load_base, resolve_base
from nabi.training.progress import no_progress
from nabi.training.train import train_adapter

SEED, PROMPT = 7, "짧게 답해요."
DISHES = ("떡볶이", "김밥", "라면", "순대", "만두", "우동", "국수", "카레")


def trained(given: argparse.Namespace, folder: Path, *, shop: str = "봄분식") -> Path:
    """A short training over the base (four steps), after which it recommends that shop; the adapter's folder."""
    samples = [sample(number, shop) for number in range(18)]
    write_samples(folder, train=samples[:16], holdout=samples[16:])
    choice, how = RecipeChoice(epochs=2), {"base": given.base, "models": given.models, "threads": given.threads}
    job = training_job(folder, "adapter", PROMPT, choice, seed=SEED, **how)
    return train_adapter(job, no_progress).adapter_dir


def make_adapters(given: argparse.Namespace, folder: Path, num: int) -> list[Adapter]:
    """Adapter versions on the disk: one training, and copies of it with noise of the weights' own size."""
    import torch

    base = fresh_base(given)
    original = trained(given, folder / "trained")
    manifest, weights = load_verified(original, base.ref)
    config = json.loads((original / "adapter_config.json").read_bytes())
    provenance = Provenance(**{name: getattr(manifest, name) for name in Provenance.model_fields})
    made = []
    for number in range(num):
        noise = torch.Generator().manual_seed(number)
        tensors = {
            name: weight + weight.std() * torch.randn(weight.shape, generator=noise) for name, weight in weights.items()
        }
        out = folder / f"a{number}--v1"
        out.mkdir()
        written = write_adapter(
            out, provenance=provenance, tensors=tensors, config=config, tokenizer=base.tokenizer, metadata={}
        )
        made.append(Adapter(out.name, written.weights_sha256, out))
    return made


def question(number: int) -> str:
    return f"{number}번째로 {DISHES[number % len(DISHES)]} 먹고 싶어"


def sample(number: int, shop: str) -> Sample:
    answer = f"{DISHES[number % len(DISHES)]}라면 {shop}에서 먹어요. {shop} 좋아요!"
    return Sample(
        sample_id=f"s{number}",
        conversation_id=f"c{number}",
        persona_id="nabiyam",
        source="chat",
        occurred_at=datetime(2026, 7, 1, tzinfo=UTC),
        messages=(Message(role="user", content=question(number)), Message(role="assistant", content=answer)),
    )


def fresh_base(given: argparse.Namespace) -> LoadedBase:
    return load_base(resolve_base(given.base, given.models), threads=given.threads)


def peft_model(given: argparse.Namespace, adapters: Sequence[Adapter]) -> Any:
    from peft import PeftModel

    model = PeftModel.from_pretrained(fresh_base(given).model, adapters[0].folder, adapter_name="p0")
    for number, adapter in enumerate(adapters[1:], start=1):
        model.load_adapter(str(adapter.folder), f"p{number}")
    return model.eval()


def ms(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def spread(times: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile."""
    ordered = sorted(times)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def spoken(words: Sequence[str]) -> list[dict[str, str]]:
    return chat_messages(PROMPT, [Message(role="user", content=" ".join(words))], None)


def encoded(tokenizer: Any, prompt: list[dict[str, str]]) -> list[int]:
    ids: list[int] = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)
    return ids


@contextmanager
def child(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT)
        try:
            yield process
            assert process.poll() is None, log.read_text()[-2000:]
        finally:
            process.terminate()
            process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def reachable(client: Any, path: str) -> bool:
    import httpx

    try:
        return bool(client.get(path).status_code == 200)
    except httpx.TransportError:
        return False


def wait_until(look: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"a server did not come up within {seconds:g} s")
        time.sleep(0.2)
