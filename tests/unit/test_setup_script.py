"""`make setup` installs with uv, which must look where pip was told to look."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def setup_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("setup_script", ROOT / "scripts" / "setup.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def nothing_told_to_uv(monkeypatch: pytest.MonkeyPatch, setup_script: ModuleType) -> None:
    for _, name, _ in setup_script._SETTINGS:
        monkeypatch.delenv(name, raising=False)


def test_hands_pips_indexes_folders_and_certificate_on_to_uv(setup_script: ModuleType) -> None:
    told = (
        "global.index-url='https://mirror.example/simple'\n"
        "global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'\n"
        "global.find-links='/wheels /more'\n"
        ":env:.cert='/etc/ca.pem'\n"
    )
    environment = setup_script.uv_environment(told)
    assert environment["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert environment["UV_INDEX"] == "https://one.example/simple https://two.example/simple"
    assert environment["UV_FIND_LINKS"] == "/wheels,/more"
    assert environment["SSL_CERT_FILE"] == "/etc/ca.pem"
    assert environment["UV_INDEX_STRATEGY"] == "unsafe-best-match"


def test_takes_the_nearer_of_two_settings_of_pip(setup_script: ModuleType) -> None:
    told = ":env:.index-url='https://c/'\ninstall.index-url='https://b/'\nglobal.index-url='https://a/'\n"
    assert setup_script.uv_environment(told)["UV_DEFAULT_INDEX"] == "https://c/"


def test_leaves_alone_what_uv_was_told_itself(setup_script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own/")
    assert setup_script.uv_environment("global.index-url='https://a/'\n")["UV_DEFAULT_INDEX"] == "https://own/"


def test_finds_uv_in_the_lock_file(setup_script: ModuleType) -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert setup_script.locked_version(lock, "uv")[0].isdigit()
    with pytest.raises(SystemExit, match="names no version of no-such-thing"):
        setup_script.locked_version(lock, "no-such-thing")
