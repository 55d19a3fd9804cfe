"""The part `chat` of `benchmarks/serving.py`: tokens a second of answers of equal length."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
from serving_material import (
    DISHES,
    child,
    encoded,
    free_port,
    fresh_base,
    make_adapters,
    ms,
    peft_model,
    reachable,
    spoken,
    wait_until,
)

from nabi.serving.batching import BatchEngine
from nabi.serving.decoding import Decoding
from nabi.serving.residents import Adapter
from nabi.training.adapter import load_verified
from nabi.training.base_model import LoadedBase, resolve_base

SERVES: dict[str, Sequence[str]] = {
    "transformers serve": (),
    # On a CPU its cache must be told its size.
    "transformers serve --continuous-batching": (
        *("--continuous-batching", "--cb-block-size", "32", "--cb-num-blocks", "512"),
        *("--cb-max-batch-tokens", "512"),
    ),
}


def chat(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Tokens a second, by batch and by who speaks."""
    num_in, num_out = given.tokens
    biggest = max(given.batches)
    adapters = make_adapters(given, folder, max(biggest, given.known))
    base = fresh_base(given)
    prompts = make_prompts(base.tokenizer, biggest, num_in)
    figures: dict[str, Any] = {}
    print(f"{num_in} tokens in, {num_out} out, {given.threads} threads, medians of {given.rounds} rounds")
    print("| batch | who speaks | tokens/s | share of the bare base's, same engine | by processor time |")
    print("|---|---|---|---|---|")
    with ExitStack() as stack:
        few = stack.enter_context(engine_with(given, adapters[:biggest], biggest))
        many = stack.enter_context(engine_with(given, adapters[: given.known], biggest))
        peft = replace(base, model=peft_model(given, adapters[:biggest]))
        bare, personas = fresh_base(given), [f"p{number}" for number in range(biggest)]
        serves = {} if given.without_serve else SERVES
        served = {way: stack.enter_context(transformers_serve(given, folder, more)) for way, more in serves.items()}
        llama = stack.enter_context(llama_cpp(given, folder, adapters[:biggest])) if has_llama(given) else None
        for size in given.batches:
            asked = prompts[:size]
            across = [adapters[place * given.known // size] for place in range(size)]
            ways: dict[str, Callable[[], None]] = {
                "nabi, the bare base": partial(answered, few, asked, [None] * size, num_out),
                "nabi, one persona": partial(answered, few, asked, [adapters[0]] * size, num_out),
                f"nabi, each of {size} another persona": partial(answered, few, asked, adapters[:size], num_out),
                f"nabi, the same with {given.known} in memory": partial(answered, many, asked, across, num_out),
                "transformers' generate, the bare base": partial(generated, bare, asked, num_out),
                "PEFT's mixed batch, each another persona": partial(generated, peft, asked, num_out, personas[:size]),
            }
            ways |= {f"{way}, the bare base": partial(ask, asked, num_out) for way, ask in served.items()}
            if llama is not None:
                ways["llama.cpp, one after the other, each another persona"] = partial(llama, asked, num_out)
            rates, busy_rates = timed(ways, given.rounds, size * num_out)
            for way, found in rates.items():
                share = median_ratio(found, rates["nabi, the bare base"])
                # What a server in a process of its own spends is not known here.
                busy = None if "serve" in way else median_ratio(busy_rates[way], busy_rates["nabi, the bare base"])
                figures[f"{size}, {way}"] = {
                    "rate": statistics.median(found),
                    "share": share,
                    "busy_share": busy,
                    "rates": found,
                }
                told = "" if busy is None else f"{busy:.0%}"
                print(f"| {size} | {way} | {statistics.median(found):.0f} | {share:.0%} | {told} |", flush=True)
    return figures


def timed(
    ways: dict[str, Callable[[], None]], rounds: int, tokens: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Tokens a second of each way, round by round, by the clock and by this process's time, which other work on the
    machine stretches less; one more round before is not counted."""
    rates: dict[str, list[float]] = {way: [] for way in ways}
    busy_rates: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(rounds + 1):
        for way, work in ways.items():
            before = time.process_time()
            rate = tokens / ms(work) * 1000
            if turn:
                rates[way].append(rate)
                busy_rates[way].append(tokens / (time.process_time() - before))
    return rates, busy_rates


def median_ratio(found: Sequence[float], beside: Sequence[float]) -> float:
    """The median of the ratios of the same rounds."""
    return statistics.median(one / other for one, other in zip(found, beside, strict=True))


def make_prompts(tokenizer: Any, num: int, num_tokens: int) -> list[list[dict[str, str]]]:
    """Chats of that many tokens, or a few less, where a word takes more than one."""
    prompts = []
    for number in range(num):
        rng = random.Random(number)
        words = [rng.choice(DISHES)]
        while len(encoded(tokenizer, spoken([*words, DISHES[0]]))) <= num_tokens:
            words.append(rng.choice(DISHES))
        prompts.append(spoken(words))
    return prompts


@contextmanager
def engine_with(given: argparse.Namespace, adapters: Sequence[Adapter], rows: int) -> Iterator[BatchEngine]:
    """A batch engine with these adapters in memory, whose answers end at their length only."""
    engine = BatchEngine(fresh_base(given), num_slots=len(adapters), max_rows=rows)
    engine._end_ids = frozenset()
    for adapter in adapters:
        engine.preload(adapter)
    yield engine
    engine.close()


def answered(engine: BatchEngine, prompts: Sequence[Any], who: Sequence[Adapter | None], num_out: int) -> None:
    pending = [
        engine.submit(prompt, adapter, Decoding(max_new_tokens=num_out))
        for prompt, adapter in zip(prompts, who, strict=True)
    ]
    assert [request.answer.result().num_tokens for request in pending] == [num_out] * len(prompts)


def generated(base: LoadedBase, prompts: Sequence[Any], num_out: int, who: list[str] | None = None) -> None:
    """`generate` of transformers, or of PEFT with an adapter for each row."""
    import torch

    rows = [encoded(base.tokenizer, prompt) for prompt in prompts]
    batch = base.tokenizer.pad({"input_ids": rows}, padding_side="left", return_tensors="pt")
    options = {} if who is None else {"adapter_names": who}
    with torch.inference_mode():
        said = base.model.generate(**batch, min_new_tokens=num_out, max_new_tokens=num_out, do_sample=False, **options)
    assert said.shape[1] == batch["input_ids"].shape[1] + num_out


@contextmanager
def transformers_serve(
    given: argparse.Namespace, folder: Path, more: Sequence[str]
) -> Iterator[Callable[[Sequence[Any], int], None]]:
    """`transformers serve` over the bare base; a batch is so many requests at once."""
    port = free_port()
    base = Path(resolve_base(given.base, given.models).source)
    # Its own switch for an answer's least length is not in the interface: the end token is taken away instead.
    unending = folder / f"unending-{len(more)}"
    unending.mkdir()
    for path in base.iterdir():
        if path.name not in {"generation_config.json", "config.json"}:
            (unending / path.name).symlink_to(path)
    for name in ("generation_config.json", "config.json"):
        content = json.loads((base / name).read_bytes()) | {"eos_token_id": None}
        (unending / name).write_text(json.dumps(content))
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(unending), "--port", str(port)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(given.threads)}
    with child(
        [*command, "--device", "cpu", "--dtype", "float32", *more], environment, folder / f"serve-{len(more)}.log"
    ):
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=600)
        wait_until(lambda: reachable(client, "/health"), 120)

        def ask(prompts: Sequence[Any], num_out: int) -> None:
            def one(prompt: Any) -> None:
                body = {"model": str(unending), "messages": prompt, "max_tokens": num_out, "temperature": 0}
                answer = client.post("/v1/chat/completions", json=body)
                answer.raise_for_status()
                assert answer.json()["usage"]["completion_tokens"] == num_out, answer.text

            with ThreadPoolExecutor(len(prompts)) as pool:
                list(pool.map(one, prompts))

        yield ask


def has_llama(given: argparse.Namespace) -> bool:
    """Whether llama-cpp-python can be imported; without it its row is left out."""
    if given.llama is not None:
        sys.path.append(str(given.llama))
    found = find_spec("llama_cpp") is not None
    if not found:
        print("llama-cpp-python is not installed: no row of it", file=sys.stderr)
    return found


@contextmanager
def llama_cpp(
    given: argparse.Namespace, folder: Path, adapters: Sequence[Adapter]
) -> Iterator[Callable[[Sequence[Any], int], None]]:
    """llama.cpp over the base in float32, its adapters initialised before; each request sets its own and begins anew.

    It has one adapter for a whole batch, so that requests of different personas come one after the other.
    """
    import ctypes

    import llama_cpp as native

    from nabi.integrations.gguf_files import write_adapter, write_model

    base = fresh_base(given)
    written: dict[str, Any] = {"number_type": "f32", "notes": {"version": "benchmark"}}
    write_model(folder / "base.gguf", base.model, base.tokenizer, **written)
    model = native.Llama(str(folder / "base.gguf"), n_ctx=1024, n_threads=given.threads, verbose=False)
    loaded = []
    for number, adapter in enumerate(adapters):
        manifest, tensors = load_verified(adapter.folder, base.ref)
        path = folder / f"{number}.gguf"
        write_adapter(path, base.model, tensors, manifest.scale, **written)
        loaded.append(native.llama_adapter_lora_init(model._model.model, str(path).encode()))

    def ask(prompts: Sequence[Any], num_out: int) -> None:
        for adapter, prompt in zip(loaded, prompts, strict=False):
            one = (native.llama_adapter_lora_p_ctypes * 1)(adapter)
            assert not native.llama_set_adapters_lora(model._ctx.ctx, one, 1, (ctypes.c_float * 1)(1.0))
            model.reset()
            said = model.generate(encoded(base.tokenizer, prompt), temp=0.0)
            assert len([next(said) for _ in range(num_out)]) == num_out

    yield ask
    for adapter in loaded:
        native.llama_adapter_lora_free(adapter)
    model.close()
