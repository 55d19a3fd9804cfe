"""Persona files: what a good one gives, and how a bad one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from nabi.errors import ConfigError
from nabi.personas.load import declared_ids, load_persona, load_personas

GOOD = "id: {id}\nname: 이름\nsystem_prompt: 짧게 답하세요.\n"


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def complaint(folder: Path, text: str, name: str = "one.yaml") -> str:
    write(folder, name, text)
    with pytest.raises(ConfigError) as caught:
        load_persona(Path(name).stem, folder)
    return str(caught.value)


def test_defaults_fill_what_the_file_leaves_out(tmp_path: Path) -> None:
    write(tmp_path, "one.yaml", GOOD.format(id="one"))
    persona = load_persona("one", tmp_path)
    assert (persona.id, persona.limits.min_new_samples, persona.evaluation.min_gain) == ("one", 50, 0.05)


def test_all_personas_come_sorted_by_id(tmp_path: Path) -> None:
    for name in ("b", "a-2", "a"):
        write(tmp_path, f"{name}.yaml", GOOD.format(id=name))
    assert list(load_personas(tmp_path)) == ["a", "a-2", "b"]


def test_who_is_declared_is_told_although_a_file_is_broken(tmp_path: Path) -> None:
    write(tmp_path, "b.yaml", GOOD.format(id="b"))
    write(tmp_path, "a.yaml", "id: [")
    assert declared_ids(tmp_path) == ["a", "b"]
    for empty in (tmp_path / "none", tmp_path / "nowhere"):
        if empty.name == "none":
            empty.mkdir()
        with pytest.raises(ConfigError):
            declared_ids(empty)


def test_file_name_must_be_the_id(tmp_path: Path) -> None:
    message = complaint(tmp_path, GOOD.format(id="two"))
    assert "one.yaml, line 1, id" in message
    assert "Write `id: one` or rename the file to two.yaml." in message


def test_unknown_key_is_told_with_line_and_suggestion(tmp_path: Path) -> None:
    message = complaint(tmp_path, GOOD.format(id="one") + "limits:\n  min_new_sample: 20\n")
    assert "one.yaml, line 5, limits.min_new_sample" in message
    assert "Did you mean 'min_new_samples'?" in message


def test_unknown_key_without_a_likeness_lists_what_is_known(tmp_path: Path) -> None:
    message = complaint(tmp_path, GOOD.format(id="one") + "limits: {zzz: 1}\n")
    assert "Known here: min_new_samples, max_trainings_per_day, timezone." in message


def test_repeated_key_is_an_error_since_yaml_would_keep_the_last(tmp_path: Path) -> None:
    message = complaint(tmp_path, GOOD.format(id="one") + "limits:\n  min_new_samples: 20\n  min_new_samples: 50\n")
    assert "one.yaml, line 6, limits.min_new_samples: stands twice (first in line 5)." in message


def test_several_mistakes_are_listed_at_once(tmp_path: Path) -> None:
    text = "id: one\nname: 이름\nsource: chatt\nevaluation:\n  holdout_share: 0.7\nlimits:\n  timezone: Seoul\n"
    message = complaint(tmp_path, text)
    assert "4 problems" in message
    for place in ("system_prompt: is missing", "line 3, source", "line 5, evaluation.holdout_share", "limits.timezone"):
        assert place in message


def test_mistakes_of_several_files_are_listed_at_once(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "id: a\n")
    write(tmp_path, "b.yaml", GOOD.format(id="c"))
    with pytest.raises(ConfigError, match=r"(?s)2 persona files.*a\.yaml.*b\.yaml"):
        load_personas(tmp_path)


def test_a_union_of_types_is_one_problem_with_both_fixes(tmp_path: Path) -> None:
    message = complaint(tmp_path, GOOD.format(id="one") + "recipe:\n  target_modules: 3\n")
    assert "one.yaml, line 5, recipe.target_modules" in message
    assert "Choose 'all-linear'. Or: Write a list such as [a, b]." in message


def test_a_pattern_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    assert "'(a' is no regular expression" in complaint(
        tmp_path, GOOD.format(id="one") + "style: {forbidden: ['(a']}\n"
    )


def test_answer_bounds_must_leave_room(tmp_path: Path) -> None:
    text = GOOD.format(id="one") + "evaluation: {min_answer_chars: 200, max_answer_chars: 100}\n"
    assert "min_answer_chars 200 is above max_answer_chars 100" in complaint(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    ["id: [a\nname: b\n", "- a\n", "", "id: one\nname: !!python/object:os.system x\n", "? [a]\n: 1\n"],
    ids=["syntax", "list", "empty", "python-object", "list-as-key"],
)
def test_what_is_not_plain_yaml_is_told(tmp_path: Path, text: str) -> None:
    assert "one.yaml" in complaint(tmp_path, text)


def test_other_encodings_are_told(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_bytes("name: 나비".encode("cp949"))
    with pytest.raises(ConfigError, match="is not UTF-8"):
        load_persona("one", tmp_path)


def test_unknown_persona_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, "nabiyam.yaml", GOOD.format(id="nabiyam"))
    with pytest.raises(ConfigError, match="Did you mean 'nabiyam'"):
        load_persona("nabiyan", tmp_path)


def test_an_id_never_reaches_another_folder(tmp_path: Path) -> None:
    """The id comes from command lines and requests."""
    inner = tmp_path / "personas"
    inner.mkdir()
    write(tmp_path, "secret.yaml", GOOD.format(id="secret"))
    with pytest.raises(ConfigError, match="there is no persona"):
        load_persona("../secret", inner)


def test_missing_and_empty_folders_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_personas(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="there is no persona here"):
        load_personas(tmp_path)


def test_a_yml_file_is_not_overlooked(tmp_path: Path) -> None:
    write(tmp_path, "one.yml", GOOD.format(id="one"))
    with pytest.raises(ConfigError, match=r"Rename it to one\.yaml"):
        load_personas(tmp_path)
