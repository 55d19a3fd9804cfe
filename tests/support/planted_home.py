"""A whole installation in which one person, Hana, left her words everywhere that they can get, and others left theirs.

Everything is made by the product's own code: store, snapshots, DVC versions, MLflow runs, registered adapters. Only the
adapters' weights are a few made-up bytes, since nothing here is trained.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nabi.conversations.keys import load_or_create_key, user_key
from nabi.conversations.records import Consent, Conversation, Message
from nabi.conversations.store import ConversationStore, SetApart
from nabi.datasets.files import read_samples
from nabi.datasets.snapshot import Snapshot, build_snapshot
from nabi.errors import NabiError
from nabi.evaluation.probes import planted_id
from nabi.personas.model import Evaluation, Persona
from nabi.registry.journal import RowOrigin
from nabi.settings import Settings
from nabi.wiring import Platform

NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)
HANA = "hana@example.com"
CANARY = "비밀카나리아"
"""Stands in everything that Hana said and that was answered to her, and nowhere else."""

PERSONAS = {
    name: Persona(
        id=name,
        name=name,
        system_prompt="짧게.",
        bootstrap=None,
        evaluation=Evaluation(anchors=10, holdout_share=0.3),
    )
    for name in ("bot", "guide", "other")
}


@dataclass
class Planted:
    """What was planted where, for comparison afterwards.

    Args:
        files: dataset version → persona → file → bytes, as first saved.
        hanas: the ids of Hana's conversations.
        tainted: the adapters that were trained on a row of hers.
        artifacts: the bytes of every MLflow artifact that holds nothing of hers.
    """

    home: Path
    files: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    hanas: set[str] = field(default_factory=set)
    tainted: set[str] = field(default_factory=set)
    adapters: set[str] = field(default_factory=set)
    artifacts: dict[str, bytes] = field(default_factory=dict)

    def lines_left(self, version: str, persona: str, name: str) -> list[bytes]:
        """The lines of a sample file that must be there afterwards, in order."""
        lines = self.files[version][persona][name].split(b"\n")
        return [line for line in lines if CANARY.encode() not in line]


def open_platform(home: Path) -> Platform:
    return Platform(Settings(home=home))


def hanas_key(platform: Platform) -> str:
    return user_key(HANA, load_or_create_key(platform.settings.state / "secrets" / "user.key"))


def copy_home(planted: Planted, home: Path) -> Planted:
    """The same installation at another place; MLflow keeps absolute paths, and open files would not follow a swap."""
    shutil.copytree(planted.home, home)
    with sqlite3.connect(home / "var" / "mlflow.db") as database:
        for table, column in (
            ("experiments", "artifact_location"),
            ("runs", "artifact_uri"),
            ("logged_models", "artifact_location"),
        ):
            database.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (str(planted.home), str(home)))
    return replace(planted, home=home)


def plant(home: Path, empty_mlflow: Path) -> Planted:
    """Fills an empty folder: versions of three personas, six adapters, scores, logs, leftovers."""
    planted = Planted(home)
    platform = open_platform(home)
    _declare(platform)
    platform.settings.state.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
    own = _conversations(platform, planted)
    _set_apart(platform, own)
    passes: Sequence[tuple[str, Callable[[Conversation], bool]]] = (
        ("bot", lambda c: c.conversation_id not in planted.hanas),  # before Hana
        ("bot", lambda c: True),
        ("guide", lambda c: True),
        ("other", lambda c: True),
        ("bot", lambda c: c.occurred_at < NOON + timedelta(hours=30)),
        ("bot", lambda c: c.conversation_id not in planted.hanas),  # and after her
    )
    for number, (persona, is_in) in enumerate(passes):
        _learn(platform, planted, persona, [c for c in own if c.persona_id == persona and is_in(c)], number)
    _leave_behind(platform, planted)
    planted.artifacts = {
        str(path.relative_to(home)): content
        for path, content in _files(home / "mlruns")
        if not _holds_canary(content) and not _names_a_sample(platform, planted, content)
    }
    platform.database.close()
    return planted


def _declare(platform: Platform) -> None:
    folder = platform.settings.personas
    folder.mkdir(parents=True)
    for name in PERSONAS:
        (folder / f"{name}.yaml").write_text(f"id: {name}\nname: {name}\nsystem_prompt: 짧게.\n")


def _conversations(platform: Platform, planted: Planted) -> list[Conversation]:
    key = hanas_key(platform)
    own = []
    for number in range(120):
        persona = ("bot", "bot", "guide", "other")[number % 4]
        is_hanas = number % 8 in (1, 2)
        own.append(_conversation(number, persona, key if is_hanas else f"{number % 5:064x}", is_hanas))
    own.append(_conversation(200, "bot", f"{1:064x}", True).model_copy(update={"other_keys": (key,)}))
    planted.hanas = {c.conversation_id for c in own if CANARY in c.messages[0].content}
    platform.store.add(own)
    platform.store.mark_learned("bot", [c.conversation_id for c in own if c.persona_id == "bot"], "bot--v1", "x")
    return own


def _conversation(number: int, persona: str, key: str, is_hanas: bool) -> Conversation:
    mark = f"{CANARY} {number}" if is_hanas else "여느"
    return Conversation(
        conversation_id=f"c{number:03}",
        persona_id=persona,
        source="chat",
        occurred_at=NOON + timedelta(minutes=number * 20),
        messages=(
            Message(role="user", content=f'{mark} "질문" {number}\n둘째 줄'),
            Message(role="assistant", content=f"{mark} 답 {number}이에요."),
        ),
        user_key=key,
        consent=Consent(training=True, given_at=NOON - timedelta(days=1)),
    )


def _set_apart(platform: Platform, own: Sequence[Conversation]) -> None:
    key = hanas_key(platform)
    hers = next(c for c in own if c.user_key == key)
    theirs = next(c for c in own if c.user_key != key)
    platform.store.set_apart(None, [(hers, "quality", f"{CANARY} is odd"), (theirs, "quality", "0.2")])
    platform.store.set_apart_rows(
        [
            SetApart("bot", "chat", "unusable row", detail=f"'{CANARY}' is no list", raw=f"{{{CANARY}", user_key=key),
            SetApart("bot", "chat", "unusable row", raw="{여느", user_key=theirs.user_key),
        ]
    )


def _learn(platform: Platform, planted: Planted, persona: str, talks: list[Conversation], number: int) -> None:
    """One pass of the loop without training: version, lineage, MLflow run, adapter, scores."""
    version, built = platform.datasets.save(
        lambda folder: build_snapshot(PERSONAS[persona], [], talks, [], datasets_dir=folder)
    )
    planted.files[version] = {
        folder.name: {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in platform.datasets.datasets.iterdir()
    }
    origins = list(_origins(built))
    platform.journal.record_dataset(version, persona, origins)
    as_of = NOON + timedelta(days=9, hours=number)
    tracker = platform.tracker
    run_id = tracker.open_run(persona, f"{persona}@{number}", {"as_of": as_of.isoformat()})
    tracker.log_dataset(run_id, name=persona, version=version, digest=built.digest, profile={})
    tracker.log_tags(run_id, {"dataset_version": version, "dataset_digest": built.digest})
    tracker.log_file(run_id, built.folder / "card.md", "dataset")
    folder = platform.registry.candidate_folder(persona, f"c{number}")
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_bytes(bytes([number]) * 64)
    adapter = platform.registry.register(persona, run_id, folder, f"d{number}", tags={"dataset_version": version})
    _score(platform, run_id, built, adapter.name)
    platform.journal.start(persona, as_of)
    if number != 4:  # a window that was killed before it was decided: only MLflow knows its adapter
        platform.registry.deploy(adapter, who="the gate", why="better")
        platform.journal.finish(
            persona,
            as_of,
            "deployed",
            "better",
            dataset_version=version,
            adapter_version=adapter.name,
            mlflow_run_id=run_id,
        )
    planted.adapters.add(adapter.name)
    if any(row.conversation_id in planted.hanas and row.part == "train" for row in origins):
        planted.tainted.add(adapter.name)


def _origins(built: Snapshot) -> Iterator[RowOrigin]:
    for part, path in (("train", built.train_file), ("holdout", built.holdout_file), ("anchor", built.anchors_file)):
        for sample in read_samples(path):
            yield RowOrigin(sample.sample_id, sample.conversation_id, part)


def _score(platform: Platform, run_id: str, built: Snapshot, adapter: str) -> None:
    """Scores and a report about held-out samples; some answers repeat what was said in the question."""
    samples = [*read_samples(built.holdout_file), *read_samples(built.anchors_file)]
    rows = [{"sample_id": s.sample_id, "answer": f"들었어요: {s.question}"} for s in samples]
    folder = platform.settings.state / "evaluations" / built.folder.name / adapter
    folder.mkdir(parents=True)
    scores = folder / "scores.json"
    probes = [{"probe_id": planted_id(s.conversation_id), "asked": s.question, "answer": "네"} for s in samples]
    contenders = {"base": rows, adapter: {"name": adapter, "scores": rows, "probes": probes, "flaws": {}}}
    scores.write_text(json.dumps(contenders, ensure_ascii=False))
    platform.tracker.log_file(run_id, scores, "evaluation")
    report = "".join(f"| {s.sample_id} | {s.question.splitlines()[0]} |\n" for s in samples)
    platform.tracker.log_text(run_id, f"# Gate\n\n{report}", "evaluation/gate.md")


def _leave_behind(platform: Platform, planted: Planted) -> None:
    """Checkouts, a log, a kept step result, and what killed writers leave."""
    state, home = platform.settings.state, planted.home
    for version in planted.files:
        platform.datasets.checkout(version, "bot")
    row = next(line for line in (state / "checkouts").rglob("train.jsonl").__next__().read_bytes().split(b"\n") if line)
    tainted = next(
        line
        for version in planted.files.values()
        for line in version["bot"]["train.jsonl"].split(b"\n")
        if CANARY.encode() in line
    )
    said = json.loads(tainted)["messages"][0]["content"]
    leftovers = {
        state / "checkouts" / "tmpabc" / "version" / "bot" / "train.jsonl": tainted,
        home / "datasets" / ".guide.fresh" / "train.jsonl": row + b"\n" + tainted,
        home / ".dvc" / "cache" / "files" / "md5" / "ab" / ".half.tmp": tainted[:200],
        state / "dvc-remote" / "files" / "md5" / "cd" / ".half.tmp": tainted[:200],
        home / ".dvc" / "cache" / "files" / "md5" / "ab" / ("c" * 30): tainted,
        state / "logs" / "mlflow.log": f"INFO ok\nERROR could not read {said!s}\nINFO bye\n".encode(),
        state / "prefect" / "storage" / "result": json.dumps({"sentence": said}).encode(),
        next((home / "mlruns").rglob("scores.json")).parent / ".artifact.uploading.x1": tainted,
    }
    for path, content in leftovers.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def places_of_the_canary(home: Path) -> list[str]:
    """Every file whose bytes hold the canary, plain or escaped."""
    return [str(path.relative_to(home)) for path, content in _files(home) if _holds_canary(content)]


def _holds_canary(content: bytes) -> bool:
    escaped = json.dumps(CANARY)[1:-1].encode()
    return CANARY.encode() in content or escaped in content or CANARY.encode("utf-16-le") in content


def _names_a_sample(platform: Platform, planted: Planted, content: bytes) -> bool:
    samples = platform.lineage.samples_of_conversations(planted.hanas)
    return any(sample.sample_id.encode() in content for sample in samples)


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield path, path.read_bytes()


def what_is_wrong(planted: Planted) -> list[str]:
    """Everything that differs from what must be after Hana was forgotten; nothing when all is well."""
    wrong = [f"canary in {place}" for place in places_of_the_canary(planted.home)]
    platform = open_platform(planted.home)
    wrong += _wrong_versions(platform, planted)
    wrong += _wrong_store(platform, planted)
    for path, content in planted.artifacts.items():
        if (planted.home / path).read_bytes() != content:
            wrong.append(f"artifact {path} changed")
    versions = [version for name in PERSONAS for version in platform.registry.versions(name)]
    marked = {version.name for version in versions if version.retire}
    if marked != planted.tainted or {version.name for version in versions} != planted.adapters:
        wrong.append(f"retired in MLflow: {sorted(marked)}, should be {sorted(planted.tainted)}")
    retired = {row.adapter_version for row in platform.lineage.retirements()}
    if retired != planted.tainted:
        wrong.append(f"retired in the table: {sorted(retired)}, should be {sorted(planted.tainted)}")
    platform.database.close()
    return wrong


def _wrong_versions(platform: Platform, planted: Planted) -> list[str]:
    wrong = []
    for version, personas in planted.files.items():
        is_tainted = any(CANARY.encode() in body for files in personas.values() for body in files.values())
        if (platform.lineage.newest(version) != version) != is_tainted:
            wrong.append(f"{version} leads to {platform.lineage.newest(version)}")
        for persona, files in personas.items():
            try:
                folder = platform.datasets.checkout(version, persona)
            except NabiError as error:
                wrong.append(f"{version} is lost: {error}")
                continue
            for name, body in files.items():
                left = (folder / name).read_bytes()
                if name.endswith(".jsonl"):
                    if left.split(b"\n") != planted.lines_left(version, persona, name):
                        wrong.append(f"{version}/{persona}/{name} holds other rows")
                elif not any(CANARY.encode() in content for content in files.values()) and left != body:
                    wrong.append(f"{version}/{persona}/{name} changed")
    return wrong


def _wrong_store(platform: Platform, planted: Planted) -> list[str]:
    store: ConversationStore = platform.store
    wrong = []
    held = {c.conversation_id for name in PERSONAS for c in store.before(name, NOON + timedelta(days=99))}
    expected = {f"c{number:03}" for number in range(120)} - planted.hanas
    if held != expected:
        wrong.append(f"store holds {sorted(held ^ expected)} wrongly")
    if store.learned_by("bot").keys() & planted.hanas or len(store.learned_by("bot")) < 10:
        wrong.append("what was learned is wrong")
    if sorted(item.reason for item in store.list_set_apart()) != ["quality", "unusable row"]:
        wrong.append("what was set apart is wrong")
    return wrong


def environment(home: Path) -> dict[str, str]:
    """Variables for a process that uses such a home: nothing of it lies outside, nothing calls home."""
    return {
        **os.environ,
        "NABI_HOME": str(home),
        "DVC_SITE_CACHE_DIR": str(home / ".dvc" / "site"),
        "DVC_NO_ANALYTICS": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
    }
