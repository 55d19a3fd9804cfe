"""Reads personas from their YAML files; a mistake is told with file, line, key, rule and fix, all at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nabi.errors import ConfigError
from nabi.personas.model import Persona

KeyPath = tuple[str | int, ...]

_FIXES = {
    "int": "Write a whole number.",
    "float": "Write a number.",
    "bool": "Write true or false.",
    "string": "Write text of that kind, in quotes when it looks like a number.",
    "tuple": "Write a list such as [a, b].",
    "model": "Write its keys indented below it.",
}
"""What to do, by the first word of pydantic's error types."""


@dataclass(frozen=True)
class _Problem:
    """One broken rule in a persona file."""

    rule: str
    fix: str = ""
    key: str = ""
    line: int | None = None

    @property
    def place(self) -> str:
        return ", ".join(part for part in (f"line {self.line}" if self.line else "", self.key) if part)

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        return f"{place}{self.rule} {self.fix}".strip()


def load_persona(persona_id: str, personas_dir: Path) -> Persona:
    """The persona declared in `<personas_dir>/<persona_id>.yaml`.

    Raises:
        ConfigError: no such file, or one that breaks a rule.
    """
    # Looked up among the files that exist, so that an id from outside can never name another path.
    files = {file.stem: file for file in _persona_files(personas_dir)}
    if persona_id not in files:
        raise ConfigError(
            f"there is no persona {persona_id!r}.",
            where=str(personas_dir),
            fix=f"{_did_you_mean(persona_id, files)} Known are: {', '.join(files) or 'none'}.".strip(),
        )
    file = files[persona_id]
    persona = _read(file)
    if isinstance(persona, Persona):
        return persona
    raise _error_of(file, persona)


def load_personas(personas_dir: Path) -> dict[str, Persona]:
    """All personas of a folder by id, sorted by id.

    Raises:
        ConfigError: no folder, no persona in it, or broken files; the message lists every problem of every file.
    """
    found = [(file, _read(file)) for file in _persona_files(personas_dir)]
    errors = [_error_of(file, result) for file, result in found if not isinstance(result, Persona)]
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise ConfigError("\n".join([f"{len(errors)} persona files are broken:", *map(str, errors)]))
    if not found:
        raise _none_declared(personas_dir)
    return {result.id: result for _, result in found if isinstance(result, Persona)}


def declared_ids(personas_dir: Path) -> list[str]:
    """The ids that a folder's files declare, sorted. Nothing is read: a mistake in one file must not stop the others.

    Raises:
        ConfigError: no folder, or no persona in it.
    """
    _ensure_folder(personas_dir)
    ids = sorted(file.stem for file in personas_dir.glob("*.yaml"))
    if not ids:
        raise _none_declared(personas_dir)
    return ids


def _ensure_folder(personas_dir: Path) -> None:
    if not personas_dir.is_dir():
        raise ConfigError(
            "the personas folder does not exist.",
            where=str(personas_dir),
            fix="Make it, or set NABI_PERSONAS_DIR to where it is.",
        )


def _none_declared(personas_dir: Path) -> ConfigError:
    return ConfigError("there is no persona here.", where=str(personas_dir), fix="Write <id>.yaml there first.")


def _persona_files(personas_dir: Path) -> list[Path]:
    _ensure_folder(personas_dir)
    misnamed = sorted(personas_dir.glob("*.yml"))
    if misnamed:
        raise ConfigError(
            "persona files end in .yaml; this one would be overlooked.",
            where=str(misnamed[0]),
            fix=f"Rename it to {misnamed[0].stem}.yaml.",
        )
    return sorted(personas_dir.glob("*.yaml"), key=lambda file: file.stem)


def _read(file: Path) -> Persona | list[_Problem]:
    """The persona of a file, or what is wrong with the file."""
    return _parsed(file, file.read_bytes())


@lru_cache(maxsize=256)  # steps ask for all personas again and again; parsing them takes ten times the reading
def _parsed(file: Path, content: bytes) -> Persona | list[_Problem]:
    try:
        text = content.decode("utf-8")
        declared: Any = yaml.safe_load(text)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except UnicodeDecodeError as error:
        return [_Problem(f"is not UTF-8 (byte {error.start}).", "Save the file as UTF-8.")]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        return [_Problem(f"is not plain YAML: {error.problem}.", "Check indentation and quotes there.", line=line)]
    except yaml.YAMLError as error:
        return [_Problem(f"is not plain YAML: {error}.", "Save the file as UTF-8 text without control characters.")]
    if not isinstance(root, yaml.MappingNode):
        return [_Problem("does not hold `key: value` lines.", f"Start with `id: {file.stem}`.")]
    return _check(file, declared, root)


def _check(file: Path, declared: dict[str, Any], root: yaml.MappingNode) -> Persona | list[_Problem]:
    problems = list(_repeated_keys(root))
    try:
        persona = Persona.model_validate(declared)
    except ValidationError as error:
        return sorted(problems + _problems_of(error, root), key=lambda problem: problem.line or 0)
    if persona.id != file.stem:
        rule = f"the id {persona.id!r} is not the file's name."
        fix = f"Write `id: {file.stem}` or rename the file to {persona.id}.yaml."
        problems.append(_Problem(rule, fix, "id", _line_of(root, ("id",))))
    return problems or persona


def _repeated_keys(node: yaml.Node, path: KeyPath = ()) -> Iterator[_Problem]:
    """Keys that stand twice in one mapping: YAML would silently keep the last."""
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _repeated_keys(item, (*path, index))
    if not isinstance(node, yaml.MappingNode):
        return
    first_lines: dict[str, int] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if key.value in first_lines:
            rule = f"stands twice (first in line {first_lines[key.value]})."
            yield _Problem(rule, "Keep one of them.", _dotted((*path, key.value)), line)
        first_lines.setdefault(key.value, line)
        yield from _repeated_keys(value, (*path, key.value))


def _problems_of(error: ValidationError, root: yaml.MappingNode) -> list[_Problem]:
    """pydantic's errors in our words; the alternatives of a union are one problem with several fixes."""
    problems: dict[KeyPath, _Problem] = {}
    for detail in error.errors(include_url=False):
        path = _known_path(detail["loc"], root)
        fix = _fix(detail)
        if path in problems:
            fix = f"{problems[path].fix} Or: {fix}"
        rule = problems[path].rule if path in problems else _rule(detail)
        problems[path] = _Problem(rule, fix, _dotted(path), _line_of(root, path))
    return list(problems.values())


def _known_path(location: KeyPath, root: yaml.MappingNode) -> KeyPath:
    """The location without the union tags that pydantic adds; a missing key keeps its name."""
    path: KeyPath = ()
    for step in location:
        if isinstance(step, int) and isinstance(_node_at(root, path), yaml.MappingNode):
            continue  # one mapping was written where a list of them may stand
        if isinstance(step, str) and ("[" in step or _node_at(root, (*path, step)) is None) and path:
            parent = _node_at(root, path)
            if not isinstance(parent, yaml.MappingNode):
                break
        path = (*path, step)
    return path


def _rule(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "missing":
            return "is missing."
        case "extra_forbidden":
            return "is not a setting of a persona."
        case "value_error":
            return f"{detail['msg'].removeprefix('Value error, ')}."
        case "literal_error":
            return f"{detail['input']!r} is not one of its values."
        case _:
            value = detail["input"]
            shown = "" if isinstance(value, dict) else f" (it is {value!r})"
            return f"{detail['msg'][0].lower()}{detail['msg'][1:]}{shown}."


def _fix(detail: ErrorDetails) -> str:
    context = detail.get("ctx", {})
    match detail["type"]:
        case "missing":
            return f"Add `{detail['loc'][-1]}: …`."
        case "extra_forbidden":
            known = _fields_at(detail["loc"][:-1])
            return _did_you_mean(str(detail["loc"][-1]), known) or f"Known here: {', '.join(known)}."
        case "literal_error":
            return f"Choose {context['expected']}."
        case "string_pattern_mismatch":
            return "Use small letters, digits and single hyphens."
        case "value_error":
            return ""
        case kind:
            return _FIXES.get(kind.partition("_")[0], "Write a value inside that bound.")


def _fields_at(location: Sequence[str | int]) -> list[str]:
    """Names that may stand at this place of a persona file."""
    model: type[BaseModel] = Persona
    for step in location:
        if isinstance(step, int):
            continue
        field = model.model_fields.get(step)
        inner = [t for t in _alternatives(field.annotation if field else None) if issubclass(t, BaseModel)]
        if not inner:
            return []
        model = inner[0]
    return list(model.model_fields)


def _alternatives(annotation: Any) -> Iterator[type]:
    """The classes in `X`, `X | None` and the like."""
    for option in getattr(annotation, "__args__", (annotation,)):
        if isinstance(option, type):
            yield option


def _node_at(root: yaml.Node, path: KeyPath) -> yaml.Node | None:
    node: yaml.Node | None = root
    for step in path:
        if isinstance(node, yaml.MappingNode):
            node = next((value for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
        else:
            return None
    return node


def _line_of(root: yaml.Node, path: KeyPath) -> int | None:
    """Line of the value at `path`, counted from 1; of the nearest thing around it when it is missing."""
    while path:
        node = _node_at(root, path)
        if node is not None:
            return int(node.start_mark.line) + 1
        path = path[:-1]
    return None


def _dotted(path: KeyPath) -> str:
    return ".".join(str(step) for step in path)


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""


def _error_of(file: Path, problems: list[_Problem]) -> ConfigError:
    if len(problems) == 1:
        problem = problems[0]
        place = f"{file}, {problem.place}" if problem.place else str(file)
        return ConfigError(problem.rule, where=place, fix=problem.fix or None)
    listed = [f"  {number}. {problem}" for number, problem in enumerate(problems, 1)]
    return ConfigError("\n".join([f"{len(problems)} problems:", *listed]), where=str(file))
