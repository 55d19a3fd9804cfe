"""One real run of a small persona while MLflow and then Prefect are away: it ends, and the pages have all of it.

Each is away for six seconds; `NABI_AWAY_SECONDS=600` makes it ten minutes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from ports import free_port

from nabi.integrations.credentials import USER, load_or_create_credentials
from nabi.integrations.local_servers import Server, is_ready, mlflow_server, prefect_server, stop
from nabi.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
AWAY_SECONDS = float(os.environ.get("NABI_AWAY_SECONDS", "6"))
PERSONA = """\
id: small
name: 나비얌
system_prompt: 너는 아이들의 급식카드 밥집 도우미 나비얌이야. 참고 정보에 있는 것만 다정하게 알려 줘.
limits: {min_new_samples: 10}
recipe: {preset: low-memory, epochs: 1}
bootstrap: {workbook: sample_data.xlsx, target: 24}
evaluation: {anchors: 10, min_prompts: 10, max_answer_chars: 60}
"""
RUN = """\
import faulthandler, signal; faulthandler.register(signal.SIGUSR1)
from datetime import UTC, datetime
from nabi.cli.progress import progress_lines
with progress_lines():
    from flows.continuous_learning import continuous_learning
    state = continuous_learning(["small"], datetime(2026, 7, 1, 3, tzinfo=UTC), return_state=True)
print("ended", state.name, state.message)
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(not os.environ.get("NABI_LONG"), reason="minutes of a real pass; part of `make resilience`"),
]


@dataclass
class Running:
    """A server that can be killed and comes back on the same port."""

    server: Server
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.server.command,
                env={**os.environ, **self.server.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while not is_ready(self.server):
            assert self.process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.2)

    def be_away(self) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        time.sleep(AWAY_SECONDS)
        self.start()


@dataclass
class Played:
    """What the run printed, and the Prefect server to ask about it."""

    client: httpx.Client
    settings: Settings
    lines: list[str] = field(default_factory=list)

    def ask(self, path: str, **body: Any) -> Any:
        answer = self.client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    @property
    def flow_run(self) -> dict[str, Any]:
        (run,) = self.ask("/flow_runs/filter")
        return dict(run)

    @property
    def artifacts(self) -> dict[str, dict[str, Any]]:
        return {found["key"]: found for found in self.ask("/artifacts/filter") if found["key"]}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The run, with MLflow killed while it trains and Prefect killed while it measures."""
    home = tmp_path_factory.mktemp("home")
    (home / "personas").mkdir()
    (home / "personas" / "small.yaml").write_text(PERSONA)
    (home / "sample_data.xlsx").symlink_to(ROOT / "sample_data.xlsx")
    settings = Settings(home=home)
    servers = {
        "MLflow": Running(mlflow_server(settings, free_port()), home / "mlflow.log"),
        "Prefect": Running(prefect_server(settings, free_port()), home / "prefect.log"),
    }
    credentials = load_or_create_credentials(settings)
    environment = {
        **os.environ,
        **servers["Prefect"].server.environment,
        "NABI_HOME": str(home),
        "NABI_MODELS_DIR": str(ROOT / "models"),
        "NABI_MLFLOW_URI": servers["MLflow"].server.url,
        "MLFLOW_TRACKING_USERNAME": USER,
        "MLFLOW_TRACKING_PASSWORD": credentials.mlflow_password,
        "PYTHONPATH": str(ROOT),
    }
    try:
        for one in servers.values():
            one.start()
        lines = _run(environment, {" 90 %": servers["MLflow"], "measuring": servers["Prefect"]})
        user, _, password = credentials.prefect_auth.partition(":")
        with httpx.Client(base_url=servers["Prefect"].server.url + "/api", auth=(user, password)) as client:
            client.headers.update(_csrf(client))
            yield Played(client, settings, lines)
    finally:
        for one in servers.values():
            if one.process:
                stop(one.process)


def _run(environment: dict[str, str], outages: dict[str, Running]) -> list[str]:
    """Plays the run; each server goes away at the first line that holds its word."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines, threads, left = [], [], dict(outages)
    try:
        for line in process.stdout:
            lines.append(line.rstrip())
            for word in [word for word in left if word in line]:
                threads.append(threading.Thread(target=left.pop(word).be_away))
                threads[-1].start()
        assert process.wait() == 0, "\n".join(lines)
    finally:
        process.kill()
        for thread in threads:
            thread.join()
    assert not left, f"never reached: {list(left)}"
    return lines


def _csrf(client: httpx.Client) -> dict[str, str]:
    token = client.get("/csrf-token", params={"client": "tests"}).json()["token"]
    return {"Prefect-Csrf-Token": token, "Prefect-Csrf-Client": "tests"}


def test_the_run_ends_in_its_sentence_and_says_what_it_waited_for(played: Played) -> None:
    run = played.flow_run
    assert run["state_type"] == "COMPLETED"
    assert run["state"]["message"].startswith("small: ")
    printed = " ".join(" ".join(played.lines).split())
    assert "train: waiting since" in printed
    assert "MLflow could not be reached while" in printed
    assert f"ended {run['state']['name']} {run['state']['message']}" in printed


def test_no_step_is_lost_or_done_twice_and_each_names_its_persona(played: Played) -> None:
    deadline = time.monotonic() + 60
    while True:  # the server takes what happened while it was away from the run's queue of events
        steps = {run["name"]: run for run in played.ask("/task_runs/filter")}
        if all(run["state_type"] == "COMPLETED" for run in steps.values()) or time.monotonic() > deadline:
            break
        time.sleep(1)
    named = ("collect", "filter", "bootstrap", "enough to train?", "snapshot", "train", "evaluate", "gate")
    assert {f"small: {step}" for step in named} < set(steps)
    assert {name: run["state_type"] for name, run in steps.items() if run["state_type"] != "COMPLETED"} == {}
    assert {run["run_count"] for run in steps.values()} == {1}


def test_one_bar_shows_the_whole_pass_and_ends_full_with_the_sentence(played: Played) -> None:
    bars = [found for found in played.ask("/artifacts/filter") if found["type"] == "progress"]
    assert [bar["key"] for bar in bars] == ["small-20260701t0300"]
    assert bars[0]["data"] == 100
    assert bars[0]["description"] in played.flow_run["state"]["message"]


def test_counts_comparison_and_verdict_are_in_the_pages_with_their_links(played: Played) -> None:
    found = played.artifacts
    assert "kept: new" in found["small-filter"]["data"]
    assert '"candidate"' in found["small-comparison"]["data"]
    verdict, dataset = found["small-verdict"]["data"], found["small-dataset"]["data"]
    assert "small--v1" in verdict
    version = dataset.partition("`")[2].partition("`")[0]
    assert version.endswith(".dir")
    for page in (verdict, dataset):
        assert f"`nabi datasets checkout {version} --persona small`" in page
        assert "/#/experiments/" in page


def test_mlflow_has_every_figure_of_the_run_that_it_missed(played: Played) -> None:
    from nabi.integrations.mlflow_tracking import Tracker

    tracker = Tracker(played.settings.mlflow, played.settings.mlruns)
    (run_id,) = tracker.runs_of("small")
    figures, tags = tracker.run_metrics(run_id), tracker.run_tags(run_id)
    assert {"data/train", "train/loss", "train/final_loss"} <= set(figures)
    assert tags["decision"] in {"deploy", "keep"}
    assert len(tracker.versions("small")) == 1
