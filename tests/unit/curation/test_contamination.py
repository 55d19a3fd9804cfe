"""A foreign voice is heard; a persona's own is not taken for another's."""

from __future__ import annotations

from collections.abc import Callable

from nabi.conversations.records import Conversation
from nabi.curation.chain import curate
from nabi.curation.style_model import StyleModel, train_style_model
from nabi.personas.model import Persona

Make = Callable[..., Conversation]
Chatter = Callable[[int, int], list[Conversation]]

THINGS = ["달빛", "등불", "책장", "창문", "바람", "찻잔", "별", "밤길"]
THINGS += ["서가", "구름", "촛불", "우산", "편지", "안개", "골목", "시계"]
DEEDS = ["기다리오", "흔들리오", "반짝이오", "고요하오", "따뜻하다오", "쉬어", "가시오", "그립구려", "아름답다오"]


def librarian(number: int) -> str:
    first, second = THINGS[number % 16], THINGS[number * 7 % 13]
    return f"그대여, {first}도 {second}도 {DEEDS[number // 3 % 8]}. 천천히 {DEEDS[number % 7]}."


def model(chatter: Chatter, num: int = 200) -> StyleModel | None:
    own = [row.messages[-1].content for row in chatter(0, num)]
    return train_style_model({"p": own, "librarian": [librarian(n) for n in range(num)]}, 60)


def test_another_personas_voice_is_set_apart(make: Make, chatter: Chatter, persona: Persona) -> None:
    foreign = [make(9000 + n, f"{n}번 이야기 들려 줘, {THINGS[n % 16]} 말이야", librarian(n * 31)) for n in range(12)]
    curated = curate([*chatter(300, 400), *foreign], persona, style=model(chatter))
    named = [item for item in curated.refused if item.reason == "reads like another persona"]
    assert {item.conversation.conversation_id for item in named} == {row.conversation_id for row in foreign}
    assert named[0].detail == "like librarian"


def test_the_own_voice_is_kept(chatter: Chatter) -> None:
    trained = model(chatter)
    assert trained is not None
    heard = [trained.reads_like(row.messages[-1].content, "p") for row in chatter(300, 700)]
    assert sum(rival is not None for rival in heard) <= 0.02 * len(heard)


def test_too_few_answers_are_not_judged(chatter: Chatter, make: Make, persona: Persona) -> None:
    assert model(chatter, num=59) is None
    only_others = train_style_model({"a": [librarian(n) for n in range(80)], "b": ["네, 그래요."] * 80}, 60)
    foreign = make(1, "이야기 들려 줘", librarian(5))
    assert curate([foreign], persona, style=only_others).counts == {"kept": 1}
    assert curate([foreign], persona, style=None).counts == {"kept": 1}


def test_the_same_answers_make_the_same_model(chatter: Chatter) -> None:
    one, two = model(chatter), model(chatter)
    assert one is not None
    assert two is not None
    assert (one.weights == two.weights).all()
    assert one.lowest == two.lowest
