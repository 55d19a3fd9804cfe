"""The part `users` of `benchmarks/serving.py`: many people talk to two servers while what is live changes.

Every answer is compared with what the version that it names says when nobody else is there.
"""

from __future__ import annotations

import argparse
import bisect
import os
import random
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psutil
from serving_material import (
    PROMPT,
    child,
    free_port,
    fresh_base,
    question,
    reachable,
    spoken,
    spread,
    trained,
    wait_until,
)

from nabi.serving.engine import Engine
from nabi.settings import Settings
from nabi.training.adapter import read_manifest
from nabi.wiring import Platform

PERSONAS = ("nabiyam", "mari")
SHOPS = ("봄분식", "달빛식당", "다온식당", "솔바람밥집")


@dataclass
class Heard:
    """An answer as its asker met it; times of the monotonic clock."""

    asked: str
    question: int
    sent: float
    done: float
    status: int
    answer_id: str = ""
    model: str = ""
    text: str = ""


@dataclass
class Changes:
    """What is live, change by change: (when the command began, when it returned, how, persona, version)."""

    made: list[tuple[float, float, str, str, str]] = field(default_factory=list)

    def possible(self, persona: str, sent: float, done: float) -> set[str]:
        """Versions that may answer a request: live when it was sent or two seconds before, or became so since."""
        own = [change for change in self.made if change[3] == persona]
        begun = [change[0] for change in own]
        first = bisect.bisect_right([change[1] for change in own], sent - 2.0) - 1
        return {change[4] for change in own[max(first, 0) : bisect.bisect_right(begun, done)]}


def users(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everybody talks; what is live changes; then every answer is looked at."""
    names = [f"{persona}--v{number}" for persona in PERSONAS for number in (1, 2)]
    versions = {name: trained(given, folder / name, shop=shop) for name, shop in zip(names, SHOPS, strict=True)}
    platform = make_home(given, folder / "home", versions)
    questions = [question(number) for number in range(12)]
    expected = alone(given, versions, questions)
    changes = Changes()
    for persona in PERSONAS:
        change(platform, changes, "go live", persona, f"{persona}--v1")
    heard: list[Heard] = []
    memory: list[list[float]] = []
    with servers(given, platform, folder, 2) as (urls, pids):
        stop = threading.Event()
        threads = [
            threading.Thread(target=talk, args=(given, platform, urls[number % 2], number, questions, heard, stop))
            for number in range(given.users)
        ]
        threads.append(threading.Thread(target=watch_memory, args=(pids, memory, stop)))
        for thread in threads:
            thread.start()
        try:
            turn_over(given, platform, changes, urls)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    if any(one.status >= 500 for one in heard):
        for log in sorted(folder.glob("server-*.log")):
            print(log.read_text()[-4000:], file=sys.stderr)
    figures = tell_users(given, heard, changes, expected, memory)
    answers = [one.answer_id for one in heard if one.status == 200]
    figures["lost"] = sum(platform.answers.get(answer_id) is None for answer_id in answers)
    print(f"| answers without a record in the database at the end | {figures['lost']} of {len(answers)} |")
    return figures


def make_home(given: argparse.Namespace, home: Path, versions: dict[str, Path]) -> Platform:
    (home / "personas").mkdir(parents=True)
    for persona in PERSONAS:
        text = f"id: {persona}\nname: {persona}\nsystem_prompt: {PROMPT}\nuses_facts: false\n"
        (home / "personas" / f"{persona}.yaml").write_text(text)
    settings = Settings(home=home, models_dir=given.models.resolve(), base_model=given.base, threads=given.threads)
    for version, adapter_dir in versions.items():
        shutil.copytree(adapter_dir, settings.adapters / version.partition("--")[0] / version)
    return Platform(settings)


def alone(given: argparse.Namespace, versions: dict[str, Path], questions: Sequence[str]) -> dict[str, list[str]]:
    """What each version says to each question when nobody else is there."""
    engine = Engine(fresh_base(given))
    said = {}
    for version, adapter_dir in versions.items():
        engine.load(version, adapter_dir)
        prompts = [spoken([asked]) for asked in questions]
        said[version] = [answer.text for answer in engine.generate(prompts, version, max_new_tokens=24, batch_size=1)]
    assert len({tuple(texts) for texts in said.values()}) == len(said), "versions must be told apart by what they say"
    return said


@contextmanager
def servers(
    given: argparse.Namespace, platform: Platform, folder: Path, num: int
) -> Iterator[tuple[list[str], list[int]]]:
    """`nabi serve`, so many times over one installation. No MLflow and no Prefect runs anywhere."""
    environment = home_environment(given, platform)
    with ExitStack() as stack:
        ports = [free_port() for _ in range(num)]
        pids = [
            stack.enter_context(
                child(
                    [sys.executable, "-m", "nabi.cli", "serve", "--port", str(port)],
                    environment,
                    folder / f"server-{place}.log",
                )
            ).pid
            for place, port in enumerate(ports)
        ]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        for url in urls:
            wait_until(partial(reachable, httpx.Client(base_url=url), "/readyz"), 120)
        yield urls, pids


def home_environment(given: argparse.Namespace, platform: Platform) -> dict[str, str]:
    settings = platform.settings
    return os.environ | {
        "NABI_HOME": str(settings.home),
        "NABI_MODELS_DIR": str(settings.models_dir),
        "NABI_BASE_MODEL": given.base,
        "NABI_THREADS": str(given.threads),
        "NABI_REQUESTS_PER_MINUTE": "1000000",
        # Nobody but this benchmark changes what is live: answers of noisy adapters would be taken back.
        "NABI_WATCH_SECONDS": "1000000",
        "OMP_NUM_THREADS": str(given.threads),
        "HF_HUB_OFFLINE": "1",
    }


def talk(  # noqa: PLR0917 -- what a thread is given
    given: argparse.Namespace,
    platform: Platform,
    url: str,
    number: int,
    questions: Sequence[str],
    heard: list[Heard],
    stop: threading.Event,
) -> None:
    """One user, until the end."""
    rng = random.Random(number)
    with httpx.Client(base_url=url, headers=token(platform, "chat"), timeout=60) as client:
        while not stop.wait(given.think * rng.random() * 2):
            number = rng.randrange(len(questions))
            asked, sent = rng.choice(PERSONAS), time.monotonic()
            body = {
                "model": asked,
                "messages": [{"role": "user", "content": questions[number]}],
                "max_tokens": 24,
            }
            answer = client.post("/v1/chat/completions", json=body)
            told = Heard(asked, number, sent, time.monotonic(), answer.status_code)
            if answer.status_code == 200:
                content = answer.json()
                told.answer_id = content["id"]
                told.model, told.text = content["model"], content["choices"][0]["message"]["content"]
            heard.append(told)


def turn_over(given: argparse.Namespace, platform: Platform, changes: Changes, urls: Sequence[str]) -> None:
    """A go-live or a rollback every so often, of one persona after the other; rollbacks by HTTP and by command."""
    begun = time.monotonic()
    for number in range(int(given.seconds / given.every) - 1):
        time.sleep(max(0.0, begun + (number + 1) * given.every - time.monotonic()))
        persona = PERSONAS[number // 4 % 2]
        if number % 2 == 0:
            change(platform, changes, "go live", persona, f"{persona}--v2")
        else:
            how = "nabi rollback" if number // 2 % 2 else "HTTP"
            change(platform, changes, how, persona, f"{persona}--v1", url=urls[0], given=given)
    time.sleep(max(0.0, begun + given.seconds - time.monotonic()))


def change(
    platform: Platform,
    changes: Changes,
    how: str,
    persona: str,
    version: str,
    *,
    url: str = "",
    given: argparse.Namespace | None = None,
) -> None:
    begun = time.monotonic()
    if how == "go live":
        digest = read_manifest(platform.settings.adapters / persona / version).weights_sha256
        platform.ledger.promote(persona, version, digest, who="benchmark", why="benchmark")
    elif how == "HTTP":
        body = {"who": "benchmark", "why": "benchmark"}
        answer = httpx.post(f"{url}/v1/personas/{persona}/rollback", json=body, headers=token(platform, "operator"))
        answer.raise_for_status()
    else:
        assert given is not None
        command = [sys.executable, "-m", "nabi.cli", "rollback", persona, "--why", "benchmark"]
        done = subprocess.run(
            command, env=home_environment(given, platform), check=False, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    changes.made.append((begun, time.monotonic(), how, persona, version))
    live = platform.ledger.live(persona)
    assert live is not None
    assert live.champion == version


def watch_memory(pids: Sequence[int], memory: list[list[float]], stop: threading.Event) -> None:
    """Resident memory of the servers in MiB, once a second."""
    processes = [psutil.Process(pid) for pid in pids]
    while not stop.wait(1.0):
        memory.append([process.memory_info().rss / 2**20 for process in processes])


def tell_users(
    given: argparse.Namespace,
    heard: Sequence[Heard],
    changes: Changes,
    expected: dict[str, list[str]],
    memory: Sequence[Sequence[float]],
) -> dict[str, Any]:
    counted = Counter(judged(one, changes, expected) for one in heard)
    slow = spread([one.done - one.sent for one in heard])
    third = max(1, len(memory) // 3)
    grown = [
        statistics.median(column[-third:]) - statistics.median(column[third : 2 * third] or column)
        for column in zip(*memory, strict=True)
    ]
    lags = {how: late_by(heard, changes, how) for how in ("go live", "HTTP", "nabi rollback")}
    print(f"{given.users} users, {given.seconds:g} s, two servers, {len(changes.made) - len(PERSONAS)} changes")
    print("| what | |\n|---|---|")
    for what, number in sorted(counted.items()):
        print(f"| answers: {what} | {number} |")
    print(f"| seconds an answer, median and p95 | {slow[0]:.2f}, {slow[1]:.2f} |")
    for how, late in lags.items():
        if late:
            print(
                f"| {how}: from the command's start to the last request that met the version before, s | "
                f"{', '.join(f'{seconds:.2f}' for seconds in late)} |"
            )
    print(f"| memory grown from the second third to the last, MiB a server | {', '.join(f'{g:+.1f}' for g in grown)} |")
    return {"answers": counted, "seconds": slow, "lags": lags, "grown": grown}


def judged(one: Heard, changes: Changes, expected: dict[str, list[str]]) -> str:
    """What an answer was: right, or in which way not."""
    if one.status != 200:
        return f"status {one.status}"
    if one.model.partition("--")[0] != one.asked:
        return "of another persona"
    if one.model not in changes.possible(one.asked, one.sent, one.done):
        return "of a version that was not live"
    if one.text == expected[one.model][one.question]:
        return "right, word for word"
    if any(one.text == texts[one.question] for version, texts in expected.items() if version != one.model):
        return "in another version's words"
    return "other words than alone (rounding)"


def late_by(heard: Sequence[Heard], changes: Changes, how: str) -> list[float]:
    """For each change of that kind: when the last request was sent that the version before still answered."""
    lags = []
    for place, (begun, _, kind, persona, version) in enumerate(changes.made[len(PERSONAS) :], len(PERSONAS)):
        if kind == how:
            until = next((c[0] for c in changes.made[place + 1 :] if c[3] == persona), float("inf"))
            late = [
                one.sent - begun
                for one in heard
                if one.asked == persona and one.status == 200 and begun <= one.sent < until and one.model != version
            ]
            lags.append(max(late, default=0.0))
    return lags


def token(platform: Platform, scope: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {(platform.settings.state / 'secrets' / f'{scope}.token').read_text()}"}
