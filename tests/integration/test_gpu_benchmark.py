"""`benchmarks/gpu_training.py` runs, on whatever device there is: so that it works when a GPU is at hand."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nabi.training.base_model import BaseRef
from nabi.training.memory import read_shape

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_every_way_trains_the_same_adapter_and_tells_its_memory(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    few = ["--shapes", "minute", "--rows", "2", "--tokens", "96", "--steps", "3", "--r", "4", "--together", "2"]
    few += ["--cases", "4 bits, recomputed", "--folder", str(tmp_path), "--json", str(out)]
    command = [sys.executable, "benchmarks/gpu_training.py", *few]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(out.read_text())["minute"]["4 bits, recomputed"]
    nabi, peft = figures["nabi"], figures["peft"]
    assert nabi["held"].startswith("4 bits")
    assert 80 <= nabi["tokens"] == peft["tokens"] <= 96
    assert len(nabi["losses"]) == len(peft["losses"]) == 3
    assert nabi["apart from peft"] < 1e-3
    assert min(nabi["peak"], peft["peak"], nabi["estimate"], nabi["step"], peft["step"]) > 0
    assert figures["one batch"]["together"] == [2, 2]
    assert figures["one by one"]["together"] == [1, 1]
    assert figures["together apart"] < 1e-3
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"], "the bases are removed"


@pytest.mark.parametrize(("shape", "weights"), [("qwen2.5-3b", 3.09e9), ("qwen3-4b", 4.02e9)])
def test_the_shapes_are_those_that_were_published(tmp_path: Path, shape: str, weights: float) -> None:
    """By the number of weights on the models' cards, and as transformers counts a base that has the shape."""
    shapes = _shapes()
    (tmp_path / "config.json").write_text(json.dumps(shapes[shape]))
    read = read_shape(BaseRef(shape, str(tmp_path), "a" * 64))
    assert read is not None
    assert read.weights == pytest.approx(weights, rel=0.01)


def _shapes() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location("gpu_training", ROOT / "benchmarks" / "gpu_training.py")
    assert spec is not None
    assert spec.loader is not None
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        module = importlib.util.module_from_spec(spec)
        sys.modules["gpu_training"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    shapes: dict[str, Any] = module.SHAPES
    return shapes
