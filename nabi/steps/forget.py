"""Forget: what a request covers leaves every place that it reached, and nothing else does.

The request is durable before anything is deleted (`nabi.conversations.erasure`). Each step here can be repeated, and
the words are taken out of the database last: until then they tell what to look for everywhere else. So a deletion that
was interrupted anywhere goes on at the next start.

    1  adapters that learned from it are marked      table, MLflow
    2  artifacts of the persona's runs               MLflow
    3  scores, logs, step results, exports           state folder, output/exports
    4  dataset versions                              DVC's cache and remotes, datasets/, checkouts
    5  names of the new versions                     MLflow
    6  conversations, set apart, learned, rows       database, in one transaction
    7  free pages and the write-ahead log            SQLite
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nabi.conversations.erasure import Entry, Erasure, Traces
from nabi.conversations.spool import REFUSED
from nabi.conversations.words import Words
from nabi.database.guard import guarded
from nabi.database.scrub import scrub
from nabi.datasets.redaction import holds_any, rows_of, without
from nabi.errors import TransientError
from nabi.evaluation.probes import planted_id
from nabi.registry.lineage import Retirement
from nabi.wiring import Platform

logger = logging.getLogger(__name__)

LEFT = "not ours to change"
"""Place of a report's lines that say where words were found which nabi cannot take out."""

EXPORTS = Path("output/exports")
"""Where `nabi datasets export` writes unless told otherwise; what was exported elsewhere is out of reach."""

_PATIENCE_BEFORE_RUN_S = 30.0
_SCORES = "scores.json"
_LINE_BY_LINE = frozenset({".csv", ".jsonl", ".md", ".tsv", ".txt"})


@dataclass(frozen=True)
class Forgotten:
    """What was done for one request.

    Args:
        entries: what was deleted where.
        retired: the adapters that had learned from it.
        replaced: old dataset version → the version written anew; None where the old one was incomplete before.
    """

    erasure: Erasure
    entries: tuple[Entry, ...]
    retired: tuple[Retirement, ...]
    replaced: dict[str, str | None]


def forget_person(platform: Platform, user_key: str, *, who: str) -> Forgotten:
    """Deletes everything of a person, everywhere."""
    return _finished(platform, platform.store.forget_person(user_key, who=who))


def withdraw_consent(platform: Platform, user_key: str, at: datetime, *, who: str) -> Forgotten:
    """Deletes what a person said since `at`, and what no consent ever covered."""
    return _finished(platform, platform.store.withdraw_consent(user_key, at, who=who))


def finish_pending(platform: Platform, *, wait_s: float = 600.0) -> list[Forgotten]:
    """Carries out every request that is not finished; costs one query when there is none.

    Args:
        wait_s: how long to wait for steps that use conversations right now, a training for instance.

    Raises:
        TransientError: such a step went on for longer; the requests stay as they are.
    """
    if not platform.store.erasures.pending():
        return []
    with guarded(platform.database, alone=True, wait_s=wait_s):
        return [_carry_out(platform, erasure) for erasure in platform.store.erasures.pending()]


def finish_before_run(platform: Platform) -> None:
    """The same before a run. When another run is at work it begins all the same: nothing buried is used meanwhile."""
    try:
        finish_pending(platform, wait_s=_PATIENCE_BEFORE_RUN_S)
    except TransientError as error:
        logger.warning("a deletion waits for another run: %s", error)


def report_of(platform: Platform, erasure: Erasure) -> Forgotten:
    """What was done for a request so far."""
    return Forgotten(
        erasure=erasure,
        entries=tuple(platform.store.erasures.entries(erasure)),
        retired=tuple(platform.lineage.retirements(erasure_id=erasure.id)),
        replaced=platform.lineage.replaced_by(erasure.id),
    )


def _finished(platform: Platform, erasure: Erasure) -> Forgotten:
    finish_pending(platform)
    return report_of(platform, platform.store.erasures.get(erasure.id) or erasure)


def _carry_out(platform: Platform, erasure: Erasure) -> Forgotten:
    erasures = platform.store.erasures
    traces = erasures.traces(erasure)
    _clean_spool(platform, erasure)
    if erasure.state == "pending" and traces.conversation_ids:
        with _scratch(platform.settings.state / "forgetting") as scratch:
            traces = _with_dataset_rows(platform, traces)
            _retire_adapters(platform, erasure, traces)
            _clean_artifacts(platform, erasure, traces, scratch)
            _clean_state(platform, erasure, traces)
            _purge_datasets(platform, erasure, traces)
            _name_successors(platform, erasure)
    erasures.empty(erasure)
    scrub(platform.database)
    done = report_of(platform, erasures.finish(erasure))
    logger.info("request %d (%s) is finished: %d places", erasure.id, erasure.kind, len(done.entries))
    return done


def _clean_spool(platform: Platform, erasure: Erasure) -> None:
    """What a server could not put into the database. Of all else there nothing that is buried is taken in."""
    if erasure.user_key is None:
        return
    folder = platform.settings.state / "spool"
    for path in sorted(folder.glob(f"{REFUSED}*")):
        if erasure.user_key.encode() in path.read_bytes():
            platform.store.erasures.note(erasure, [Entry("state folder", f"spool/{path.name}", 1)])
            path.unlink(missing_ok=True)


def _with_dataset_rows(platform: Platform, traces: Traces) -> Traces:
    """The traces with what datasets made of the conversations: masked words, and samples that no journal names."""
    samples, texts, personas = set(traces.sample_ids), set(traces.texts), set(traces.persona_ids)
    for content in platform.datasets.contents():
        for line in rows_of(content, traces.conversation_ids):
            row = _parsed(line)
            samples.add(str(row.get("sample_id", "")))
            personas.add(str(row.get("persona_id", "")))
            texts.update(message["content"] for message in row.get("messages", ()))
            texts.update(filter(None, [row.get("better")]))
    return replace(
        traces,
        sample_ids=frozenset(samples - {""}),
        texts=frozenset(texts),
        persona_ids=frozenset(personas - {""}),
    )


def _retire_adapters(platform: Platform, erasure: Erasure, traces: Traces) -> None:
    """Marks the adapters whose training data held the conversations, those of undecided windows included."""
    counts = platform.lineage.trained_counts(traces.conversation_ids)
    if not counts:
        return
    found = {}
    for persona_id in sorted({persona_id for persona_id, _version in counts}):
        for version in platform.registry.versions(persona_id):
            num = counts.get((persona_id, platform.lineage.newest(version.dataset_version)), 0)
            if num:
                found[version.name] = (version, num)
    platform.lineage.retire(
        ((name, version.persona_id, num) for name, (version, num) in sorted(found.items())), erasure.id
    )
    for version, num in found.values():
        platform.registry.mark_for_retirement(version, why=_why(erasure, num))


def _why(erasure: Erasure, num: int) -> str:
    return f"learned from {num} conversations that request {erasure.id} deleted"


def _clean_artifacts(platform: Platform, erasure: Erasure, traces: Traces, scratch: Path) -> None:
    words = Words(traces.texts)
    for persona_id in sorted(traces.persona_ids):
        for run_id in platform.tracker.runs_of(persona_id):
            changed = platform.tracker.rewrite_artifacts(
                run_id, lambda path, content: _cleaned(path, content, traces, words), scratch
            )
            entries = [Entry("MLflow artifact", f"{run_id}/{path}", 1) for path in changed]
            platform.store.erasures.note(erasure, entries)


def _clean_state(platform: Platform, erasure: Erasure, traces: Traces) -> None:
    """Scores, logs and kept step results; exports; and a look into Prefect's database, which holds references only."""
    words = Words(traces.texts)
    state = platform.settings.state
    for folder in (state / "evaluations", state / "logs", state / "prefect" / "storage"):
        for path in _files_in(folder):
            content = path.read_bytes()
            wanted = _cleaned(path.name, content, traces, words)
            if wanted == content:
                continue
            platform.store.erasures.note(erasure, [Entry("state folder", str(path.relative_to(state)), 1)])
            _write_over(path, content, wanted)
    for path in _files_in(platform.settings.path(EXPORTS)):
        content = path.read_bytes()
        wanted = b"".join(line for line in content.splitlines(keepends=True) if not words.count(line))
        if wanted != content:
            platform.store.erasures.note(erasure, [Entry("export", path.name, 1)])
            _write_over(path, content, wanted)
    for path in _files_in(state / "prefect"):
        if path.suffix in (".db", ".db-wal") and (num := words.count(path.read_bytes())):
            platform.store.erasures.note(erasure, [Entry(LEFT, str(path.relative_to(state)), num)])


def _cleaned(name: str, content: bytes, traces: Traces, words: Words) -> bytes | None:
    """A file without rows and lines about the samples and without the words; None when it is to go as a whole."""
    if name.endswith(_SCORES):
        try:
            content = _without_scores(content, traces)
        except ValueError:  # cut short by a kill: nobody can use it, and nobody can tell what it holds
            return None
    elif Path(name).suffix in _LINE_BY_LINE:
        ids = [sample_id.encode() for sample_id in traces.sample_ids]
        lines = content.split(b"\n")
        content = b"\n".join(line for line in lines if not any(sample_id in line for sample_id in ids))
    return words.blanked(content)


def _without_scores(content: bytes, traces: Traces) -> bytes:
    """Without the scores of the samples, and without the questions that were asked because of a conversation."""
    measured = json.loads(content)
    left = {name: _without_rows(contender, traces) for name, contender in measured.items()}
    return content if left == measured else json.dumps(left, ensure_ascii=False).encode()


def _without_rows(contender: Any, traces: Traces) -> Any:
    """One contender's measurements; those from before November 2026 are just the list of its scores."""
    if isinstance(contender, list):
        return [row for row in contender if row["sample_id"] not in traces.sample_ids]
    asked = {planted_id(conversation_id) for conversation_id in traces.conversation_ids}
    return {
        **contender,
        "scores": [row for row in contender["scores"] if row["sample_id"] not in traces.sample_ids],
        "probes": [row for row in contender["probes"] if row["probe_id"] not in asked],
    }


def _write_over(path: Path, content: bytes, wanted: bytes | None) -> None:
    if wanted is None:
        path.unlink()
    elif len(wanted) == len(content):
        # In place: a server may have the log open and would go on writing into a file that was replaced.
        with path.open("r+b") as file:
            file.write(wanted)
            file.flush()
            os.fsync(file.fileno())
    else:
        fresh = path.with_name(f".{path.name}.fresh")
        fresh.write_bytes(wanted)
        fresh.replace(path)


def _purge_datasets(platform: Platform, erasure: Erasure, traces: Traces) -> None:
    from nabi.integrations.dvc_datasets import Purge

    ids = traces.conversation_ids
    erasures, lineage = platform.store.erasures, platform.lineage

    def replaced(old: str, new: str | None) -> None:
        erasures.note(erasure, [Entry("dataset version", old, 1)])
        lineage.replace_version(old, new, erasure.id)

    platform.datasets.purge(
        Purge(
            holds=lambda content: holds_any(content, ids),
            clean=lambda files: without(files, ids),
            replaced=replaced,
            known=lineage.replaced_by(erasure.id),
            note=lambda lines: erasures.note(erasure, [Entry(*line) for line in lines]),
        )
    )


def _name_successors(platform: Platform, erasure: Erasure) -> None:
    """Every run that names a replaced version also names the new one; a version is the data of all personas."""
    why = f"request {erasure.id} deleted rows of the version that the run learned from"
    for old, new in platform.lineage.replaced_by(erasure.id).items():
        for persona_id in platform.lineage.personas_of(new) if new else ():
            # A run that began under an even older name knows only that one.
            for name in [old, *platform.lineage.ancestors(old)]:
                platform.tracker.replace_dataset(persona_id, name, new or "", why=why)


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """An empty folder of ours for passing copies; what an interrupted call left there goes first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


def _files_in(folder: Path) -> Iterable[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:  # cut short by a kill
        return {}
    return row if isinstance(row, dict) else {}
