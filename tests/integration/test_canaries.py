"""A hundred planted secrets: none of them is in a dataset, a log, an MLflow run or a DVC object."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nabi.conversations.records import Consent, Conversation, Message
from nabi.curation.pii.mask import mask
from nabi.settings import Settings
from nabi.steps import bootstrap, collect, snapshot
from nabi.steps.window import Window
from nabi.wiring import Platform

ROOT = Path(__file__).resolve().parents[2]
AS_OF = datetime(2026, 7, 1, 3, tzinfo=UTC)
DISHES = ("떡볶이", "김밥", "우동", "돈가스", "피자", "치킨", "국밥", "냉면", "만두", "샌드위치")
PLACED = (
    "내 번호는 {phone}이야, {dish} 먹고 싶어",
    "{dish} 추천해서 {mail}로 보내 줘요",
    "{dish} 살 돈 국민은행 {account} 여기로 받아요",
    "엄마 주민번호 {rrn} 인데 {dish} 집 알려 줘",
    "{dish} 집 있어? 카드번호 {card} 으로 낼래",
)


def secrets_of(number: int) -> dict[str, str]:
    """Made up, shaped like real ones, different in every conversation."""
    return {
        "phone": f"010-7{number:03d}-{9000 + number}",
        "mail": f"canary{number:03d}@daum.net",
        "account": f"123456-04-8{number:05d}",
        "rrn": f"1201{1 + number % 28:02d}-3{number:03d}719",
        "card": f"4532 0151 1283 {1000 + number}",
    }


def planted(number: int) -> tuple[Conversation, str]:
    """A conversation and the secret in it."""
    secrets, place = secrets_of(number), PLACED[number % len(PLACED)]
    question = place.format(dish=DISHES[number // 10], **secrets)
    secret = next(value for value in secrets.values() if value in question)
    answer = f"나비얌이 찾았어요! {DISHES[number // 10]} 집은 {number % 9 + 1}번 골목에 있어요! 😊"
    conversation = Conversation(
        conversation_id=f"canary-{number}",
        persona_id="nabiyam",
        source="chat",
        occurred_at=AS_OF - timedelta(minutes=number + 1),
        user_key=f"user-{number % 40}",
        messages=(Message(role="user", content=question), Message(role="assistant", content=answer)),
        consent=Consent(training=True, given_at=AS_OF - timedelta(days=9), guardian=True),
    )
    return conversation, secret


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    (tmp_path / "sample_data.xlsx").symlink_to(ROOT / "sample_data.xlsx")
    return Platform(Settings(home=tmp_path, personas_dir=ROOT / "personas", models_dir=ROOT / "models"))


def test_no_planted_secret_leaves_the_store(platform: Platform) -> None:
    conversations, secrets = zip(*(planted(number) for number in range(100)), strict=True)
    platform.store.add(conversations)
    window = Window(persona_id="nabiyam", as_of=AS_OF)
    collect.open_window(platform, window)
    kept = collect.keep_usable(platform, collect.collect(platform, window))
    made = snapshot.take_snapshot(platform, bootstrap.fill_up(platform, kept))
    assert kept.num_new >= 20, kept.refused  # otherwise nothing was put to the test
    train = (platform.datasets.checkout(made.version, "nabiyam") / "train.jsonl").read_text()
    assert "<전화번호>" in train
    found = leaks(platform.settings.home, [part for secret in secrets for part in (secret, secret.replace("-", ""))])
    assert not found


def test_the_search_itself_finds_a_secret(tmp_path: Path) -> None:
    """Otherwise the test above could not fail."""
    _, secret = planted(0)
    (tmp_path / "train.jsonl").write_text(f"내 번호는 {secret}이야")
    assert leaks(tmp_path, [secret])
    assert secret not in mask(f"내 번호는 {secret}이야").text


def leaks(home: Path, secrets: list[str]) -> list[str]:
    """Files below `home`, the conversation store apart, that hold one of the secrets."""
    found = []
    for path in home.rglob("*"):
        if path.is_file() and not path.is_symlink() and not path.name.startswith("nabi.db"):
            content = path.read_bytes()
            found += [f"{path.relative_to(home)}: {s}" for s in secrets if s.encode() in content]
    return found
