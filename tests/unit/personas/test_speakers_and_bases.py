from __future__ import annotations

from pathlib import Path

import pytest

from nabi.conversations.records import Basis
from nabi.errors import ConfigError
from nabi.personas.load import load_persona
from nabi.personas.model import Persona

PERSONA = "id: kim\nname: 김\nsystem_prompt: 말\nsource: meeting\n"


def load(folder: Path, text: str) -> Persona:
    (folder / "kim.yaml").write_text(PERSONA + text, encoding="utf-8")
    return load_persona("kim", folder)


def test_a_basis_is_read_although_yaml_takes_its_key_on_for_true(tmp_path: Path) -> None:
    persona = load(tmp_path, "basis: {source: agents, by: 홍길동, on: 2026-06-01, why: 직원이 쓴 문서}\n")
    assert persona.basis == (Basis.model_validate_json(persona.basis[0].model_dump_json()),)
    assert (persona.basis[0].by, persona.basis[0].on.isoformat()) == ("홍길동", "2026-06-01")


def test_a_persona_may_declare_a_basis_for_each_source(tmp_path: Path) -> None:
    one = "\n  - {source: %s, by: a, on: 2026-06-01, why: b}"
    persona = load(tmp_path, "basis:" + one % "agents" + one % "search" + "\n")
    assert [basis.source for basis in persona.basis] == ["agents", "search"]
    with pytest.raises(ConfigError, match="two bases are for the same source"):
        load(tmp_path, "basis:" + one % "agents" + one % "agents" + "\n")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("basis: {source: chat, by: a, on: 2026-06-01, why: b}", "basis.source"),
        ("basis: {source: agents, on: 2026-06-01, why: b}", "basis.by: is missing"),
        ("basis: {source: agents, by: a, on: soon, why: b}", "basis.on"),
        ("basis: {source: agents, by: a, on: 2026-06-01, whyy: b}", "Did you mean 'why'"),
        ("speaker: {}", "a speaker needs an id or names"),
        ("speaker: {names: [' ']}", "a speaker needs an id or names"),
        ("evaluation: {judge: {url: 'host/v1', model: m}}", "is no address of a server"),
        ("evaluation: {judge: {url: 'http://a:b@host/v1', model: m}}", "set NABI_JUDGE_API_KEY instead"),
        ("evaluation: {judge: {url: 'http://host/v1'}}", "evaluation.judge.model: is missing"),
        ("evaluation: {judge: {url: 'http://host/v1', model: m, prompts: 5}}", "evaluation.judge.prompts"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, f"{text}\n")
    assert told in str(error.value)
    assert "line " in str(error.value)
