"""Serving many adapters over one base, beside PEFT, transformers and llama.cpp: ratios of one run.

    .venv/bin/python benchmarks/serving.py swap [--adapters 1 3 50 500] [--swaps 200] [--peft-most 50]
    .venv/bin/python benchmarks/serving.py chat [--batches 1 8 32] [--known 500] [--rounds 5] [--llama FOLDER]
    .venv/bin/python benchmarks/serving.py users [--users 20] [--seconds 600] [--every 30] [--think 0.5]

`swap` times the change to another adapter: one that is in memory, one of a small cache, and one from the disk, beside
PEFT's `set_adapter`, `load_adapter` and `hotswap_adapter`. `chat` counts tokens a second of answers of equal length.
`users` lets so many people talk to two servers while versions go live and are rolled back, by HTTP and by `nabi
rollback`, and compares every answer with what the version that it names says when nobody else is there.

The adapters are real: one training of a few steps over the base, and copies of it with noise of their own.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from serving_chat import chat
from serving_material import SEED, fresh_base, make_adapters, ms, peft_model, spread
from serving_users import users

from nabi.serving.reading import AdapterReader
from nabi.serving.residents import Adapter, Residents
from nabi.serving.slots import AdapterSlots
from nabi.settings import Settings
from nabi.training.adapter import WEIGHTS

MODELS = Path(__file__).resolve().parent.parent / "models"
CACHE_SLOTS = Settings.model_fields["adapter_slots"].default


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="tiny-ko")
    parser.add_argument("--models", type=Path, default=MODELS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parts = parser.add_subparsers(dest="part", required=True)
    part = parts.add_parser("swap")
    part.add_argument("--adapters", type=int, nargs="+", default=[1, 3, 50, 500])
    part.add_argument("--swaps", type=int, default=200)
    part.add_argument("--peft-most", type=int, default=50, help="PEFT is asked with so many adapters at most")
    part.add_argument("--peft-swaps", type=int, default=20)
    part = parts.add_parser("chat")
    part.add_argument("--batches", type=int, nargs="+", default=[1, 8, 32])
    part.add_argument("--known", type=int, default=500, help="adapters in memory for the row of many")
    part.add_argument("--tokens", type=int, nargs=2, default=[128, 64], metavar=("IN", "OUT"))
    part.add_argument("--rounds", type=int, default=5)
    part.add_argument("--llama", type=Path, help="where llama-cpp-python and gguf are installed, if not here")
    part.add_argument("--without-serve", action="store_true", help="leave `transformers serve` out")
    part = parts.add_parser("users")
    part.add_argument("--users", type=int, default=20)
    part.add_argument("--seconds", type=float, default=600)
    part.add_argument("--every", type=float, default=30, help="seconds between two changes of what is live")
    part.add_argument("--think", type=float, default=0.5, help="a user's pause between answer and next question")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nabi-serving-") as folder:
        figures = {"swap": swap, "chat": chat, "users": users}[given.part](given, Path(folder))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1))


def swap(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Milliseconds until another adapter may speak."""
    adapters = make_adapters(given, folder, max(given.adapters))
    table = SwapTable()
    for num in given.adapters:
        for asked in ("uniform", "Zipf") if num > 1 else ("uniform",):
            order = draw(asked, num, given.swaps)
            bare, stepped, _ = ours_in_memory(given, adapters[:num], order, num)
            table.tell(num, asked, "nabi, in memory", bare)
            table.tell(num, asked, "nabi, in memory, with the step behind it", stepped)
            if num > CACHE_SLOTS:
                bare, _, hits = ours_in_memory(given, adapters[:num], order, CACHE_SLOTS)
                table.tell(num, asked, f"nabi, {CACHE_SLOTS} slots, {hits:.0%} of them in memory", bare)
        if num <= given.peft_most:
            beside_peft(given, adapters[:num], draw("uniform", num, given.peft_swaps), table)
    return {"rows": table.rows}


class SwapTable:
    """Rows as they are measured; ratios to the row of nabi that does the same."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        print("| adapters | asked | way | ms, median | p95 | so many times nabi's |\n|---|---|---|---|---|---|")

    def tell(self, num: int, asked: str, way: str, times: Sequence[float], *, beside: str | None = None) -> None:
        median, p95 = spread(times)
        row: dict[str, Any] = {"adapters": num, "asked": asked, "way": way, "median": median, "p95": p95}
        self.rows.append(row)
        ratio = ""
        if beside is not None:
            same: dict[str, Any] = {"adapters": num, "way": beside, "asked": "uniform"}
            ours = next(row for row in self.rows if same.items() <= row.items())
            row["ratio"] = median / ours["median"]
            ratio = f"{row['ratio']:.0f}" if row["ratio"] >= 10 else f"{row['ratio']:.2g}"
        print(f"| {num} | {asked} | {way} | {median:.3f} | {p95:.3f} | {ratio} |", flush=True)


def beside_peft(given: argparse.Namespace, adapters: Sequence[Adapter], order: Sequence[int], table: SwapTable) -> None:
    num, model = len(adapters), peft_model(given, adapters)
    bare, stepped = [], []
    for number in order:
        bare.append(ms(partial(model.set_adapter, f"p{number}")))
        stepped.append(bare[-1] + ms(partial(step, model)))
    table.tell(num, "uniform", "PEFT, set_adapter", bare, beside="nabi, in memory")
    ours = "nabi, in memory, with the step behind it"
    table.tell(num, "uniform", "PEFT, set_adapter, with the step behind it", stepped, beside=ours)
    again, first, read = ours_cold(given, adapters, order)
    ours = "nabi, from the disk again"
    table.tell(num, "uniform", ours, again)
    table.tell(num, "uniform", "reading the weights' file alone", read, beside=ours)
    ours = "nabi, from the disk for the first time"
    table.tell(num, "uniform", ours, first)
    table.tell(num, "uniform", "PEFT, load_adapter and set_adapter", peft_cold(model, adapters, order), beside=ours)
    if num == 1:
        times = peft_hotswap(model, adapters[0], len(order))
        table.tell(num, "uniform", "PEFT, hotswap_adapter", times, beside=ours)


def step(model: Any) -> None:
    """One token through the model: what is put off until somebody speaks counts too."""
    import torch

    with torch.inference_mode():
        model(torch.tensor([[5]]))


def draw(asked: str, num: int, swaps: int) -> list[int]:
    """Which adapter is asked for, time by time. Zipf: the k-th one with a share that falls as 1 / k."""
    rng = random.Random(SEED)
    weights = [1 / (place + 1) if asked == "Zipf" else 1.0 for place in range(num)]
    return rng.choices(range(num), weights, k=swaps)


def ours_in_memory(
    given: argparse.Namespace, adapters: Sequence[Adapter], order: Sequence[int], slots: int
) -> tuple[list[float], list[float], float]:
    """Each change, the same with a step behind it, and the share of those whose adapter was in memory."""
    base = fresh_base(given)
    room = AdapterSlots(base.model, slots)
    residents = Residents(room, base.ref)

    def speak(number: int) -> int:
        slot = residents.begin(adapters[number])
        assert slot is not None
        residents.end(adapters[number])
        return slot

    def change_and_step(number: int) -> None:
        with room.speaking([speak(number)]):
            step(base.model)

    for number in range(len(adapters)):  # each is verified when it is seen first
        change_and_step(number)
    loaded = residents.num_loaded
    bare = [ms(partial(speak, number)) for number in order]
    hits = 1 - (residents.num_loaded - loaded) / len(order)
    return bare, [ms(partial(change_and_step, number)) for number in order], hits


def ours_cold(
    given: argparse.Namespace, adapters: Sequence[Adapter], order: Sequence[int]
) -> tuple[list[float], list[float], list[float]]:
    """From the disk into a slot: an adapter that this process verified before, one that it never saw, and beside them
    the reading of the same file alone."""
    base = fresh_base(given)
    slots = AdapterSlots(base.model, len(adapters))

    def load(reader: AdapterReader, number: int) -> None:
        manifest, tensors = reader.read(adapters[number].folder)
        slots.write(number + 1, manifest, tensors, where=adapters[number].folder)

    known = AdapterReader(base.ref, slots)
    for number in range(len(adapters)):
        load(known, number)
    again, read = [], []
    for number in order:
        again.append(ms(partial(load, known, number)))
        # Another file, which lies in the processor's caches no more than the one above did.
        read.append(ms((adapters[(number + len(adapters) // 2) % len(adapters)].folder / WEIGHTS).read_bytes))
    first = [ms(partial(load, AdapterReader(base.ref, slots), number)) for number in order]
    return again, first, read


def peft_cold(model: Any, adapters: Sequence[Adapter], order: Sequence[int]) -> list[float]:
    """With the others loaded; the one that was loaded leaves again, which is not timed."""
    times = []
    for number in order:

        def load(folder: Path = adapters[number].folder) -> None:
            model.load_adapter(str(folder), "cold")
            model.set_adapter("cold")

        times.append(ms(load))
        model.set_adapter("p0")
        model.delete_adapter("cold")
    return times


def peft_hotswap(model: Any, adapter: Adapter, swaps: int) -> list[float]:
    from peft.utils.hotswap import hotswap_adapter

    return [ms(lambda: hotswap_adapter(model, str(adapter.folder), "p0")) for _ in range(swaps)]


if __name__ == "__main__":
    main()
