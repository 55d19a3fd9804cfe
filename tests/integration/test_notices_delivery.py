"""Notices arrive at a real receiver, through every way in which one can be away."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

import flows.control
from nabi.settings import Settings
from nabi.steps.forget import finish_pending
from nabi.steps.notify import LATE, deliver_notices, note_late_deletions, note_silences
from nabi.wiring import Platform

SECRET = "T0/B0/hush"
PERSONA = "id: nabiyam\nname: 나비얌\nsystem_prompt: 짧게 답해요.\n"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent; answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = 204
        self.received: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{SECRET}"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((self.headers["Idempotency-Key"], body))
        self.send_response(self.server.status)
        if self.server.status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Quiet."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def platform(tmp_path: Path, receiver: Receiver) -> Iterator[Platform]:
    (tmp_path / "personas").mkdir()
    (tmp_path / "personas" / "nabiyam.yaml").write_text(PERSONA)
    made = Platform(Settings(home=tmp_path, webhook_url=receiver.url))
    yield made
    made.database.close()


def give_up(platform: Platform, run: str) -> None:
    facts = {"run": run, "step": "train"}
    platform.notices.note("gave_up", "nabiyam", "nabiyam: killed 3 times at train.", facts, occasion=run)


def come_due(platform: Platform) -> None:
    """As if the pause had passed."""
    platform.notices.try_again()


def test_a_notice_arrives_whole_and_once(platform: Platform, receiver: Receiver) -> None:
    give_up(platform, "r1")
    assert deliver_notices(platform).num_delivered == 1
    assert deliver_notices(platform).num_delivered == 0
    ((key, body),) = receiver.received
    assert key == body["id"] == "gave_up:nabiyam:r1"
    assert body["event"] == "gave_up"
    assert body["persona"] == "nabiyam"
    assert body["text"] == "nabiyam: killed 3 times at train."
    assert body["facts"] == {"run": "r1", "step": "train"}
    assert body["version"] == 1
    assert datetime.fromisoformat(body["at"]).tzinfo is not None


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_receiver_that_refuses_gets_the_same_notices_again(
    platform: Platform, receiver: Receiver, status: int
) -> None:
    for run in ("r1", "r2"):
        give_up(platform, run)
    receiver.status = status
    missed = deliver_notices(platform)
    assert (missed.num_delivered, missed.num_missed) == (0, 1)
    assert len(receiver.received) == 1  # not once a notice
    assert str(status) in str(platform.notices.latest()[-1].last_error)
    assert deliver_notices(platform).num_missed == 0  # its turn has not come
    receiver.status = 200
    come_due(platform)
    assert deliver_notices(platform).num_delivered == 2
    keys = [key for key, _ in receiver.received]
    assert keys == ["gave_up:nabiyam:r1", "gave_up:nabiyam:r1", "gave_up:nabiyam:r2"]


def test_a_receiver_that_is_away_loses_nothing_and_its_address_is_not_told(
    platform: Platform, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    give_up(platform, "r1")
    away = Platform(platform.settings.model_copy(update={"webhook_url": f"http://127.0.0.1:9/{SECRET}"}))
    with caplog.at_level(logging.DEBUG):
        assert deliver_notices(away).num_missed == 1
    away.database.close()
    (notice,) = platform.notices.latest()
    assert notice.last_error == "the receiver did not answer (ConnectionRefusedError)"
    assert SECRET not in caplog.text
    come_due(platform)
    assert deliver_notices(platform).num_delivered == 1
    assert len(receiver.received) == 1


def test_without_a_webhook_notices_wait_and_go_out_once_there_is_one(platform: Platform, receiver: Receiver) -> None:
    deaf = Platform(platform.settings.model_copy(update={"webhook_url": None}))
    give_up(deaf, "r1")
    assert deliver_notices(deaf).num_delivered == 0
    assert [notice.state for notice in deaf.notices.latest()] == ["waiting"]
    deaf.database.close()
    assert deliver_notices(platform).num_delivered == 1


def test_what_is_given_up_is_said(
    platform: Platform, receiver: Receiver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_up(platform, "r1")
    receiver.status = 503
    monkeypatch.setattr("nabi.registry.notices.GIVEN_UP_AFTER", timedelta(0))
    assert deliver_notices(platform).num_given_up == 1
    assert "gave up telling a person" in caplog.text
    assert platform.notices.latest()[0].state == "given up"


def test_a_week_of_skipped_windows_reaches_a_person_once_a_week(platform: Platform, receiver: Receiver) -> None:
    noon = datetime(2026, 7, 1, 3, tzinfo=UTC)
    platform.journal.start("nabiyam", noon)
    platform.journal.finish("nabiyam", noon, "skipped", "skipped: 12 of 50 new samples")
    now = datetime.now(UTC)
    for days in (6, 7, 8, 15):
        note_silences(platform, now + timedelta(days=days))
    assert deliver_notices(platform).num_delivered == 2
    texts = sorted(body["text"] for _, body in receiver.received)
    assert texts[0].startswith("nabiyam: every window was skipped for 15 days")
    assert texts[1] == ("nabiyam: every window was skipped for 7 days, because: 1 × skipped: … of … new samples.")


def test_a_week_in_which_nothing_went_live_reaches_a_person_with_the_reasons(
    platform: Platform, receiver: Receiver
) -> None:
    noon = datetime(2026, 7, 1, 3, tzinfo=UTC)
    ends = [
        ("kept", "kept: +1.2 %, 5 % needed"),
        ("kept", "kept: +0.4 %, 5 % needed"),
        ("failed", "failed: no space: /srv/nabi is full"),
        ("skipped", "skipped: 12 of 50 new samples"),
        ("kept", "kept: +2.0 %, 5 % needed"),
    ]
    for number, (state, sentence) in enumerate(ends):
        window = noon + timedelta(hours=6 * number)
        platform.journal.start("nabiyam", window)
        figures = {"kind": "no space"} if state == "failed" else {}
        platform.journal.finish("nabiyam", window, state, sentence, figures=figures)
    now = datetime.now(UTC)
    for days in (6, 7, 8):
        note_silences(platform, now + timedelta(days=days))
    deliver_notices(platform)
    told = {body["event"]: body for _, body in receiver.received}
    assert set(told) == {"failed", "nothing_deployed"}
    assert told["nothing_deployed"]["text"] == (
        "nabiyam: nothing was deployed for 7 days, because: "
        "3 × kept: … %, … % needed; 1 × skipped: … of … new samples; 1 × failed (no space)."
    )
    assert told["nothing_deployed"]["facts"]["windows"] == 5
    assert [body["event"] for _, body in receiver.received].count("nothing_deployed") == 1


def test_a_request_to_forget_that_is_not_finished_reaches_a_person_once_a_day(
    platform: Platform, receiver: Receiver
) -> None:
    erasure = platform.store.forget_person("0" * 64, who="a test")
    for waited in (timedelta(hours=5), LATE, timedelta(hours=23), timedelta(hours=25)):
        note_late_deletions(platform, erasure.requested_at + waited)
    assert deliver_notices(platform).num_delivered == 2
    first, second = (body for _, body in receiver.received)
    assert (first["event"], first["persona"]) == ("deletion_waits", None)
    assert first["text"].startswith(f"Request {erasure.id} to forget is not finished after 6 hours.")
    assert (first["facts"]["hours"], second["facts"]["hours"]) == (6, 25)
    finish_pending(platform)
    note_late_deletions(platform, erasure.requested_at + timedelta(days=3))
    assert deliver_notices(platform).num_delivered == 0


def test_a_broken_persona_file_keeps_no_other_notice_back(platform: Platform, receiver: Receiver) -> None:
    (platform.settings.personas / "hana.yaml").write_text("id: [")
    noon = datetime(2026, 7, 1, 3, tzinfo=UTC)
    platform.journal.start("nabiyam", noon)
    platform.journal.finish("nabiyam", noon, "skipped", "skipped: 12 of 50 new samples")
    note_silences(platform, datetime.now(UTC) + timedelta(days=8))
    assert deliver_notices(platform).num_delivered == 1


def test_the_control_loop_goes_on_telling_after_a_mistake_in_the_configuration(
    platform: Platform, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("flows.control.TELL_SECONDS", 0.02)
    folder = platform.settings.personas
    folder.rename(folder.with_name("away"))
    give_up(platform, "r1")
    teller = flows.control.telling(platform)
    teller.start()
    try:
        wait_until(lambda: "the personas folder does not exist" in caplog.text)
        folder.with_name("away").rename(folder)
        wait_until(lambda: receiver.received != [])
    finally:
        teller.stop()
    assert receiver.received[0][1]["event"] == "gave_up"
