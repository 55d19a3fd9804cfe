"""`nabi doctor`: what a training would do here, and whose the platform is that it finds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_port

from nabi.cli.look import _platform, _training_plan
from nabi.errors import NabiError
from nabi.integrations.running import MARK, forget_up, note_up, only_one
from nabi.settings import Settings
from nabi.training import plan
from nabi.training.memory import GIB
from nabi.training.plan import Machine

QWEN_3B = {
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "tie_word_embeddings": True,
}
LISTEN = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listens", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, prefect_port=free_port(), mlflow_port=free_port(), serve_port=free_port())


@contextmanager
def listener(port: int, state: Path | None) -> Iterator[None]:
    """A process on a port: a program of the installation with that state folder, or of nobody's."""
    environment = {name: value for name, value in os.environ.items() if name != MARK}
    if state:
        environment[MARK] = str(state)
    command = [sys.executable, "-c", LISTEN, str(port)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


def test_free_ports_are_free_for_it(settings: Settings) -> None:
    assert _platform(settings).startswith("not up; ports ")


def test_servers_that_its_own_earlier_start_left_behind_are_nothing_missing(settings: Settings) -> None:
    with listener(settings.mlflow_port, settings.state):
        told = _platform(settings)
    assert f"servers of an earlier start have port {settings.mlflow_port} (NABI_MLFLOW_PORT)" in told


def test_another_installations_platform_is_named_by_its_folder(settings: Settings, tmp_path: Path) -> None:
    with listener(settings.prefect_port, tmp_path / "elsewhere"), pytest.raises(NabiError) as error:
        _platform(settings)
    assert f"the platform of {tmp_path / 'elsewhere'} listens on port {settings.prefect_port}" in str(error.value)


def test_somebody_elses_program_on_a_port_is_missing_room(settings: Settings) -> None:
    with listener(settings.prefect_port, None), pytest.raises(NabiError) as error:
        _platform(settings)
    assert f"somebody listens on port {settings.prefect_port} (NABI_PREFECT_PORT)" in str(error.value)


def test_a_platform_that_is_being_started_is_nothing_missing(settings: Settings) -> None:
    with only_one(settings):
        note_up(settings, {}, ready=False)
        assert _platform(settings).startswith("`nabi up` is starting it")
        forget_up(settings)


@pytest.fixture
def planned(settings: Settings, tmp_path: Path) -> Settings:
    """An installation with a base of three billion weights, of which only the shape is looked at, and two personas."""
    base = tmp_path / "models" / "large"
    base.mkdir(parents=True)
    (base / "config.json").write_text(json.dumps(QWEN_3B))
    for name in ("tokenizer.json", "model.safetensors"):
        (base / name).write_text("")
    (tmp_path / "personas").mkdir()
    for name, recipe in (("usual", "{}"), ("small", "{four_bit: true}")):
        told = f"id: {name}\nname: {name}\nsystem_prompt: 짧게.\nrecipe: {recipe}\n"
        (tmp_path / "personas" / f"{name}.yaml").write_text(told)
    return settings.model_copy(update={"base_model": "large"})


def test_a_large_base_without_a_gpu_is_told_with_the_hours(planned: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "this_machine", lambda: Machine("cpu", "the CPU", 64 * GIB, "float32", gflops=50))
    usual, small = _training_plan(planned).split("; small: large, ")
    assert usual.startswith("float32 on the CPU, no GPU answers: needs ")
    assert "64.0 GiB free. large has 3.1 billion weights and there is no GPU: 100 samples" in usual
    assert "about 5.3 hours at best" in usual
    assert small.startswith("4 bits on the CPU")


def test_a_gpu_with_room_and_a_smaller_one_are_told_apart(planned: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "this_machine", lambda: Machine("cuda", "a card", 40 * GIB, "bfloat16"))
    usual, small = _training_plan(planned).split("; small: large, ")
    assert usual.startswith("bfloat16 on a card: needs ")
    assert small.startswith("4 bits on a card, as the recipe says: needs ")
    monkeypatch.setattr(plan, "this_machine", lambda: Machine("cuda", "a card", 12 * GIB, "bfloat16"))
    assert _training_plan(planned).startswith("4 bits on a card, in bfloat16 it would need ")
    monkeypatch.setattr(plan, "this_machine", lambda: Machine("cuda", "a card", 2 * GIB, "bfloat16"))
    with pytest.raises(NabiError, match=r"needs .* with one sample at a time, and a card has 2\.0 GiB free"):
        _training_plan(planned)
