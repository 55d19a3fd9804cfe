"""What becomes live while the server answers."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from served_home import make_home, put_live, serving
from waiting import PATIENCE_S, wait_for, wait_until

from nabi.errors import ModelError
from nabi.registry.rollouts import is_chosen
from nabi.training.base_model import BaseRef, LoadedBase, load_base

ASK = [{"role": "user", "content": "라면 먹고 싶어"}]


def _until_it_answers(client: openai.OpenAI, version: str) -> None:
    """Waits until a new request is answered by that version; benchmarks/serving.py users measures how long it takes."""
    wait_until(lambda: client.chat.completions.create(model="mari", messages=ASK, max_tokens=1).model == version)


def test_two_servers_follow_the_ledger_and_requests_end_as_they_began(
    tmp_path: Path, tiny_base_dir: Path, trained_adapter: tuple[Any, Any], other_adapter: Any
) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    first, second = trained_adapter[1], other_adapter
    with serving(platform) as one, serving(platform) as two:
        token = (platform.settings.state / "secrets" / "chat.token").read_text()
        clients = [openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) for url in (one, two)]
        assert clients[0].chat.completions.create(model="mari", messages=ASK, max_tokens=1).model == "minute"
        put_live(platform, "mari--v1", first.adapter_dir, first.digest)
        for client in clients:
            _until_it_answers(client, "mari--v1")
        expected = clients[0].chat.completions.create(model="mari", messages=ASK, max_tokens=120)

        stream = clients[0].chat.completions.create(model="mari", messages=ASK, max_tokens=120, stream=True)
        chunks = [next(stream), next(stream)]
        put_live(platform, "mari--v2", second.adapter_dir, second.digest)
        for client in clients:
            _until_it_answers(client, "mari--v2")
        chunks += stream
        said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert said == expected.choices[0].message.content
        assert {chunk.model for chunk in chunks} == {"mari--v1"}

        platform.ledger.rollback("mari", who="a test", why="a test")
        for client in clients:
            _until_it_answers(client, "mari--v1")
        again = clients[1].chat.completions.create(model="mari", messages=ASK, max_tokens=120)
        assert again.choices[0].message.content == expected.choices[0].message.content
        assert again.nabi["digest"] == first.digest


def test_a_candidate_answers_its_share_of_the_sessions_until_it_is_rolled_back(
    tmp_path: Path, tiny_base_dir: Path, trained_adapter: tuple[Any, Any], other_adapter: Any, empty_mlflow: Path
) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    put_live(platform, "mari--v1", trained_adapter[1].adapter_dir, trained_adapter[1].digest)
    shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
    shutil.copytree(other_adapter.adapter_dir, platform.settings.adapters / "mari" / "mari--v2")
    with serving(platform) as one, serving(platform) as two:
        token = (platform.settings.state / "secrets" / "operator.token").read_text()
        clients = [openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0) for url in (one, two)]

        def answering(session: str, client: openai.OpenAI, name: str = "session") -> str:
            return client.chat.completions.create(
                model="mari", messages=ASK, max_tokens=1, extra_body={name: session}
            ).model

        sessions = [f"session-{number}" for number in range(40)]
        assert {answering(session, clients[0]) for session in sessions[:5]} == {"mari--v1"}
        platform.rollouts.start("mari", "mari--v2", other_adapter.digest, 50, who="a test", why="a test")
        chosen = [session for session in sessions if is_chosen("mari", "mari--v2", session, 50)]
        for client in clients:
            wait_until(lambda asked=client: answering(chosen[0], asked) == "mari--v2")  # type: ignore[misc]
        for session in sessions:  # the same on every server
            wanted = "mari--v2" if session in chosen else "mari--v1"
            assert {answering(session, client) for client in clients} == {wanted}
        for name in ("user", "safety_identifier"):  # as clients that know of no sessions tell who asks
            assert answering(chosen[0], clients[0], name) == "mari--v2"

        body = {"who": "hana", "why": "rude answers"}
        told = clients[0].post("/personas/mari/rollback", body=body, cast_to=dict)
        assert told == {"what": "mari--v2 answers no session of mari any more."}
        assert answering(chosen[0], clients[0]) == "mari--v1"  # from the answer on, where it was asked
        wait_until(lambda: answering(chosen[0], clients[1]) == "mari--v1")
        with pytest.raises(openai.BadRequestError, match="no previous adapter to roll back to"):
            clients[0].post("/personas/mari/rollback", body=body, cast_to=dict)


def test_the_command_reaches_every_server_and_none_goes_back(
    tmp_path: Path, tiny_base_dir: Path, trained_adapter: tuple[Any, Any], other_adapter: Any, empty_mlflow: Path
) -> None:
    """Nobody meets again what was rolled back, on any server. How long it takes, a benchmark measures."""
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    put_live(platform, "mari--v1", trained_adapter[1].adapter_dir, trained_adapter[1].digest)
    put_live(platform, "mari--v2", other_adapter.adapter_dir, other_adapter.digest)
    shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
    met: dict[str, list[str]] = {}  # by server, who answered one request after the other
    stop = threading.Event()

    def talk(url: str) -> None:
        token = (platform.settings.state / "secrets" / "chat.token").read_text()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)
        while not stop.wait(0.05):
            met[url].append(client.chat.completions.create(model="mari", messages=ASK, max_tokens=1).model)

    with serving(platform) as one, serving(platform) as two:
        met |= {one: [], two: []}
        threads = [threading.Thread(target=talk, args=(url,)) for url in met]
        for thread in threads:
            thread.start()
        wait_until(lambda: all(len(models) >= 5 for models in met.values()))
        command = [sys.executable, "-m", "nabi.cli", "rollback", "mari", "--why", "rude answers"]
        environment = os.environ | {"NABI_HOME": str(platform.settings.home), "PYTHONPATH": os.pathsep.join(sys.path)}
        told = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert told.returncode == 0, told.stderr
        assert "mari--v1 is live" in told.stdout
        wait_until(lambda: all(models[-20:] == ["mari--v1"] * 20 for models in met.values()))
        stop.set()
        for thread in threads:
            thread.join()
    for models in met.values():
        assert [model for model, _ in groupby(models)] == ["mari--v2", "mari--v1"]
    newest = platform.ledger.history("mari")[-1]
    assert (newest.action, newest.champion, newest.why) == ("rollback", "mari--v1", "rude answers")


def test_champions_stay_in_memory_when_other_versions_are_asked_for(
    tmp_path: Path, tiny_base_dir: Path, trained_adapter: tuple[Any, Any], other_adapter: Any
) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent, adapter_slots=3)
    champions = {"mari--v1": trained_adapter[1], "nabiyam--v1": other_adapter}
    for version, adapter in champions.items():
        put_live(platform, version, adapter.adapter_dir, adapter.digest)
    others = ("mari--v7", "nabiyam--v7")  # they never were live
    for version in others:
        shutil.copytree(other_adapter.adapter_dir, platform.settings.adapters / version.partition("--")[0] / version)
    with serving(platform) as url:
        token = (platform.settings.state / "secrets" / "operator.token").read_text()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)
        assert set(client.get("/live", cast_to=dict)["in_memory"]["minute"]) == set(champions)
        for version in others * 2:
            assert client.chat.completions.create(model=version, messages=ASK, max_tokens=1).model == version
            assert set(client.get("/live", cast_to=dict)["in_memory"]["minute"]) == {*champions, version}


def test_while_a_new_base_is_loaded_chat_goes_on_and_changes_are_seen(
    tmp_path: Path,
    tiny_base_dir: Path,
    trained_adapter: tuple[Any, Any],
    other_adapter: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = tmp_path / "models"
    for name in ("minute", "another"):
        shutil.copytree(tiny_base_dir, models / name)
    config = models / "another" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"note": "another revision"}))
    platform = make_home(tmp_path / "home", models)
    put_live(platform, "mari--v1", trained_adapter[1].adapter_dir, trained_adapter[1].digest)
    begun, go_on = threading.Event(), threading.Event()
    tries: list[float] = []

    def slow(ref: BaseRef, **options: Any) -> LoadedBase:
        if ref.name == "another":
            tries.append(time.monotonic())
            if len(tries) == 1:
                raise ModelError("its weights are still being copied")
            begun.set()
            assert go_on.wait(PATIENCE_S)
        return load_base(ref, **options)

    monkeypatch.setattr("nabi.server.hosting.load_base", slow)
    monkeypatch.setattr("nabi.server.hosting._AGAIN_AFTER_S", 2.0)
    with serving(platform) as url:
        token = (platform.settings.state / "secrets" / "chat.token").read_text()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0, timeout=PATIENCE_S)
        newcomer = "id: late\nname: 늦은이\nsystem_prompt: 짧게 답해요.\nbase_model: another\n"
        (platform.settings.personas / "late.yaml").write_text(newcomer)
        assert begun.wait(PATIENCE_S)
        assert client.chat.completions.create(model="mari", messages=ASK, max_tokens=1).model == "mari--v1"
        put_live(platform, "mari--v2", other_adapter.adapter_dir, other_adapter.digest)
        _until_it_answers(client, "mari--v2")
        with pytest.raises(openai.InternalServerError, match="another is being loaded") as waiting:
            client.chat.completions.create(model="late", messages=ASK, max_tokens=1)
        assert waiting.value.status_code == 503
        go_on.set()
        wait_until(lambda: "late" in {model.id for model in client.models.list()})
        assert client.chat.completions.create(model="late", messages=ASK, max_tokens=1).model == "another"
        assert len(tries) == 2
        assert tries[1] - tries[0] >= 2  # what failed is not read again with each look at the ledger


def test_a_damaged_champion_never_answers_and_the_one_before_goes_on(
    tmp_path: Path, tiny_base_dir: Path, trained_adapter: tuple[Any, Any], other_adapter: Any
) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    put_live(platform, "mari--v1", trained_adapter[1].adapter_dir, trained_adapter[1].digest)
    with serving(platform) as url:
        token = (platform.settings.state / "secrets" / "operator.token").read_text()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)
        put_live(platform, "mari--v2", other_adapter.adapter_dir, "0" * 64)
        broken = wait_for(lambda: client.get("/live", cast_to=dict)["broken"])
        assert "was registered with digest 000000000000" in broken["mari"]
        assert client.chat.completions.create(model="mari", messages=ASK, max_tokens=4).model == "mari--v1"


def test_a_broken_persona_file_holds_up_nobody_elses_deployment(
    tmp_path: Path, tiny_base_dir: Path, trained_adapter: tuple[Any, Any], other_adapter: Any
) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    adapter_dir, digest = trained_adapter[1].adapter_dir, trained_adapter[1].digest
    for persona_id in ("mari", "nabiyam"):
        put_live(platform, f"{persona_id}--v1", adapter_dir, digest)
    with serving(platform) as url:
        headers = {"Authorization": f"Bearer {(platform.settings.state / 'secrets' / 'operator.token').read_text()}"}
        client = httpx.Client(base_url=f"{url}/v1", headers=headers, timeout=60)
        (platform.settings.personas / "nabiyam.yaml").write_text("id: [")
        put_live(platform, "mari--v2", other_adapter.adapter_dir, other_adapter.digest)

        def both_seen() -> dict[str, Any] | None:
            live: dict[str, Any] = client.get("/live").json()
            return live if live["routes"]["mari"]["adapter"] == "mari--v2" and live["broken"] else None

        live = wait_for(both_seen)
        # What is loaded goes on, and the mistake is told where an operator looks.
        assert live["routes"]["nabiyam"]["adapter"] == "nabiyam--v1"
        assert "is not plain YAML" in live["broken"]["nabiyam"]
        shown = {row["persona"]: row for row in client.get("/personas").json()}
        assert (shown["nabiyam"]["failed"], shown["nabiyam"]["champion"]) == (True, "nabiyam--v1")
        assert "nabiyam.yaml" in shown["nabiyam"]["last_window"]
        assert client.get("/personas/nabiyam").json()["measures"][0]["version"] == "nabiyam--v1"
        assert client.get("/personas/nobody").status_code == 400
    platform.database.close()


def test_after_a_restart_a_candidate_that_is_gone_keeps_its_champion_from_nothing(
    tmp_path: Path, tiny_base_dir: Path, trained_adapter: tuple[Any, Any], empty_mlflow: Path
) -> None:
    platform = make_home(tmp_path / "home", tiny_base_dir.parent)
    put_live(platform, "mari--v1", trained_adapter[1].adapter_dir, trained_adapter[1].digest)
    shutil.copyfile(empty_mlflow, platform.settings.state / "mlflow.db")
    platform.rollouts.start("mari", "mari--v2", "0" * 64, 100, who="a test", why="a test")
    with serving(platform) as url:
        token = (platform.settings.state / "secrets" / "operator.token").read_text()
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=token, max_retries=0)
        assert client.chat.completions.create(model="mari", messages=ASK, max_tokens=4).model == "mari--v1"
        assert client.get("/live", cast_to=dict)["broken"] == {"mari": "the adapter has no manifest"}
