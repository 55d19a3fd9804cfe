"""Dialogues over facts: the answers can only be had by reading the facts and copying from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nabi.conversations.records import Fact
from nabi.training.tiny_base import corpus_words as words
from nabi.training.tiny_base.corpus_dialogue import Dialogue, Exchange, Register, Voices, choose_register, system_prompt
from nabi.training.tiny_base.corpus_domains import DOMAINS, Domain, Label
from nabi.training.tiny_base.corpus_words import Dice, Word

UNKNOWN = Voices(
    "모르겠습니다. 가진 정보에 없습니다.", "모르겠어요. 가진 정보에 없어요.", "모르겠어. 가진 정보에 없어."
)
_UNKNOWN_THING = Voices(
    "모르겠습니다. {x:은} 가진 정보에 없습니다.",
    "모르겠어요. {x:은} 가진 정보에 없어요.",
    "모르겠어. {x:은} 가진 정보에 없어.",
)
_OF_ITEM = (
    Voices("{n}의 {l:은} {v}입니다.", "{n}의 {l:은} {v:이에요}.", "{n}의 {l:은} {v:이야}."),
    Voices("{n}의 {l:은} {v}입니다.", "{n:은} {l:이} {v:이에요}.", "{n} {l:은} {v:이야}."),
)
_PLAIN = Voices("{l:은} {v}입니다.", "{l:은} {v:이에요}.", "{l:은} {v:이야}.")
_SAYING = Voices('사장님께서 "{v}"라고 하셨습니다.', '사장님이 "{v}"라고 하셨어요.', '사장님이 "{v}"라고 하셨어.')
_FLAG_YES = Voices("네, {n:은} {l}입니다.", "네, {n:은} {l:이에요}.", "응, {n:은} {l:이야}.")
_FLAG_NO = Voices("아니요, {n:은} {l:이} 아닙니다.", "아니요, {n:은} {l:이} 아니에요.", "아니, {n:은} {l:이} 아니야.")
_STATES = {
    "없음": Voices("없습니다", "없어요", "없어"),
    "있음": Voices("있습니다", "있어요", "있어"),
    "가능": Voices("가능합니다", "가능해요", "가능해"),
    "불가": Voices("불가능합니다", "불가능해요", "불가능해"),
    "필요": Voices("필요합니다", "필요해요", "필요해"),
    "필요 없음": Voices("필요 없습니다", "필요 없어요", "필요 없어"),
}
"""Values that are said with a verb of their own, in the three registers."""
_IS = Voices("{l}입니다.", "{l:이에요}.", "{l:이야}.")
_IS_NOT = Voices("{l:은} 아닙니다.", "{l:은} 아니에요.", "{l:은} 아니야.")
_RECOMMEND_DISH = (
    Voices("{s}의 {m:을} 추천합니다.", "{s}의 {m:을} 추천해요.", "{s}의 {m:을} 추천해."),
    Voices("{s}에 {m:이} 있습니다.", "{s}에 {m:이} 있어요.", "{s}에 {m:이} 있어."),
    Voices("{s}에서 {m:을} 드실 수 있습니다.", "{s}에서 {m:을} 드실 수 있어요.", "{s}에서 {m:을} 먹을 수 있어."),
)
_RECOMMEND = (
    Voices("{n:을} 추천합니다.", "{n:을} 추천해요.", "{n:을} 추천해."),
    Voices("{n:이} 있습니다.", "{n:이} 있어요.", "{n:이} 있어."),
    Voices("{n:을} 안내해 드립니다.", "{n:을} 안내해 드려요.", "{n:을} 알려 줄게."),
)
_THERE_ARE = Voices("{n:이} 있습니다.", "{n:이} 있어요.", "{n:이} 있어.")
_COMPARE = Voices("{a:은} {x}, {b:은} {y}입니다.", "{a:은} {x}, {b:은} {y:이에요}.", "{a:은} {x}, {b:은} {y:이야}.")
_BOTH = Voices(
    "{l:이} {x:이고} {k:은} {y}입니다.", "{l:이} {x:이고} {k:은} {y:이에요}.", "{l:이} {x:이고} {k:은} {y:이야}."
)
_RIGHT = Voices("네, {l:은} {v}입니다.", "네, {l:은} {v:이에요}.", "응, {l:은} {v:이야}.")
_WRONG = Voices("아니요, {l:은} {v}입니다.", "아니요, {l:은} {v:이에요}.", "아니, {l:은} {v:이야}.")

_ASKS_BY_SORT: dict[str, tuple[str, ...]] = {
    "price": ("얼마예요?", "얼마인가요?", "얼마야?", "값이 얼마죠?", "얼마입니까?"),
    "time": ("언제 해요?", "몇 시부터 몇 시까지예요?"),
}
_GENERIC_ASKS = (
    "{l:은} 뭐예요?", "{l} 알려 주세요.", "{l} 알려 줘", "{l:이} 어떻게 돼요?", "{l:이} 무엇인가요?", "{l:은}?",
    "{l:이} 궁금해요", "{l:은} 무엇입니까?", "{l} 좀 알려 주세요", "{l} 말해 줘", "{l}요?",
)  # fmt: skip
_FOLLOW_UPS = ("그건 ", "거기 ", "", "", "그럼 ", "그거 ", "그곳은 ")
_OTHER_ONE = (
    "다른 거는요?",
    "다른 것도 있어요?",
    "또 뭐 있어요?",
    "다른 거 추천해 주세요",
    "다른 곳은 없나요?",
    "그거 말고요",
)
_LIST_TWO = ("두 개만 알려 주세요", "두 가지 말해 줘", "두 개 추천해 주세요", "두 곳 알려 주세요")
_LIST_ALL = ("뭐가 있어요?", "모두 알려 주세요", "전부 말해 주세요", "뭐 뭐 있나요?", "목록 보여 주세요")


@dataclass
class _Scene:
    """What a dialogue over facts is made from, and which item was spoken of last."""

    rng: Dice
    domain: Domain
    register: Register
    facts: tuple[Fact, ...]
    labels: dict[str, Label]
    focus: int | None = None
    exchanges: list[Exchange] = field(default_factory=list)

    def add(self, question: str, answer: str, task: str, *wanted: str) -> None:
        self.exchanges.append(Exchange(question, answer, task, wanted))

    def say(self, voices: Voices, **slots: str) -> str:
        return voices.say(self.register, **slots)

    def name_of(self, index: int) -> str:
        """A name by which the item can be meant without doubt."""
        fact = self.facts[index]
        heads = [fact[head.name] for head in self.domain.heads if head.name in fact]
        if self.domain.name != "food" or len(heads) == 1:
            return heads[0]
        shop, dish = heads
        return self.rng.choice((dish, f"{shop}의 {dish}", f"{shop} {dish}", shop))

    def attributes(self, index: int) -> list[str]:
        heads = {head.name for head in self.domain.heads}
        return [label for label in self.facts[index] if label not in heads]

    def plain(self, index: int) -> list[str]:
        """Labels whose value can stand as a noun in any sentence."""
        return [
            label
            for label in self.attributes(index)
            if self.labels[label].sort not in ("flag", "saying") and self.facts[index][label] not in _STATES
        ]

    def missing(self, index: int) -> list[str]:
        return sorted({label.name for label in self.domain.labels} - set(self.facts[index]))


def _make_fact(rng: Dice, domain: Domain, chosen: list[Label], heads: tuple[Label, ...]) -> Fact:
    names = [label for label in chosen if rng.random() < 0.88] or chosen[:1]
    pairs = [(label.name, label.make(rng)) for label in (*heads, *names)]
    if rng.random() < 0.25:
        rng.shuffle(pairs)
    return dict(pairs)


def _make_facts(rng: Dice, domain: Domain) -> tuple[Fact, ...]:
    pool = list({label.name: label for label in rng.sample(domain.labels, k=len(domain.labels))}.values())
    chosen = pool[: rng.choice((1, 2, 2, 3, 3, 4, 5))]
    if domain.name == "food" and rng.random() < 0.7:
        chosen = [domain.labels[0], *(label for label in chosen if label.name != "가격")]
    one_head = len(domain.heads) > 1 and rng.random() < 0.1
    heads = domain.heads[:1] if one_head else domain.heads
    facts = [_make_fact(rng, domain, chosen, heads) for _ in range(rng.choice((1, 1, 2, 2, 3, 3, 4)))]
    return tuple(facts)


def _scene(rng: Dice, domain: Domain, register: Register, facts: tuple[Fact, ...]) -> _Scene:
    labels = {label.name: label for label in (*domain.heads, *domain.labels)}
    return _Scene(rng, domain, register, facts, labels)


def _question_tail(scene: _Scene, label: str) -> str:
    spec = scene.labels[label]
    own = [ask for ask in spec.asks if ask.endswith("?")]
    if spec.sort in _ASKS_BY_SORT and (label in ("가격", "비용", "요금") or spec.sort == "time"):
        own += _ASKS_BY_SORT[spec.sort]
    if own and scene.rng.random() < 0.5:
        return scene.rng.choice(own)
    return scene.rng.choice(_GENERIC_ASKS).format(l=Word(label))


def _statement(scene: _Scene, index: int, label: str, name: str | None) -> str:
    """One sentence that gives the value of a label, with the item's name or without it."""
    value, sort = scene.facts[index][label], scene.labels[label].sort
    if sort == "saying":
        return scene.say(_SAYING, v=value)
    if sort == "flag":
        yes = value == "예"
        if name is None:
            return scene.say(_IS if yes else _IS_NOT, l=label)
        return scene.say(_FLAG_YES if yes else _FLAG_NO, n=name, l=label)
    if value in _STATES:
        subject = Word(label) if name is None else Word(f"{name}의 {label}")
        return f"{subject:은} {scene.say(_STATES[value])}."
    if name is None:
        return scene.say(_PLAIN, l=label, v=value)
    return scene.say(scene.rng.choice(_OF_ITEM), n=name, l=label, v=value)


def _value_wanted(scene: _Scene, index: int, label: str) -> tuple[str, ...]:
    value = scene.facts[index][label]
    return () if scene.labels[label].sort == "flag" or value in _STATES else (value,)


def _recommendation(scene: _Scene, index: int) -> tuple[str, tuple[str, ...]]:
    fact, domain = scene.facts[index], scene.domain
    if domain.name == "food" and "메뉴" in fact:
        wanted = [fact["가게"], fact["메뉴"]]
        parts = [scene.say(scene.rng.choice(_RECOMMEND_DISH), s=fact["가게"], m=fact["메뉴"])]
    else:
        wanted = [fact[domain.heads[0].name]]
        parts = [scene.say(scene.rng.choice(_RECOMMEND), n=wanted[0])]
    shown = [label for label in scene.attributes(index) if scene.labels[label].sort != "saying"]
    priced = [label for label in shown if label == "가격"]
    others = [label for label in shown if label != "가격"]
    picked = priced + others[: scene.rng.choice((0, 1, 1)) if priced else 1]
    for label in picked:
        parts.append(_statement(scene, index, label, None))
        wanted += _value_wanted(scene, index, label)
    return " ".join(parts), tuple(wanted)


def _core_of(dish: str) -> str:
    return next((known for known in words.DISHES if dish.endswith(known)), dish)


def _opener(scene: _Scene) -> tuple[str, int | None, str]:
    """A question that wants any item: the text, the item it means (None: not there), what is missing then."""
    rng, want = scene.rng, scene.rng.choice(scene.domain.wants)
    index, like = 0, ""
    head = scene.domain.heads[-1].name
    if "{like}" in want:
        if rng.random() < 0.15:
            like = _core_of(scene.domain.heads[-1].make(rng))
            known = any(like in fact.get(head, "") for fact in scene.facts)
            return want.format(like=like), 0 if known else None, like
        index = rng.randrange(len(scene.facts))
        own = scene.facts[index].get(head)
        like = scene.facts[index][scene.domain.heads[0].name] if own is None else _core_of(own)
        index = next((i for i, fact in enumerate(scene.facts) if like in fact.get(head, "")), index)
    kind = scene.facts[0].get("분류", "맛있는 것")
    money = rng.choice(
        (f"{rng.randint(1, 30) * 1000:,}원", f"{rng.randint(1, 30) * 1000}원", f"{rng.randint(2, 30)}천 원")
    )
    return want.format(like=like, kind=kind, money=Word(money)), index, ""


def _ask_any(scene: _Scene) -> None:
    question, index, missing = _opener(scene)
    if scene.rng.random() < 0.1:
        question = f"{scene.rng.choice(('안녕하세요! ', '저기요, ', '안녕, '))}{question}"
    if index is None:
        scene.add(question, scene.say(_UNKNOWN_THING, x=missing), "unknown")
        return
    answer, wanted = _recommendation(scene, index)
    scene.focus = index
    scene.add(question, answer, "recommend", *wanted)


def _ask_attribute(scene: _Scene) -> None:
    index = scene.rng.randrange(len(scene.facts))
    labels = scene.attributes(index)
    label, name = scene.rng.choice(labels), scene.name_of(index)
    joint = scene.rng.choice(("의 ", " ", " ", Word(name).__format__("은").removeprefix(name) + " "))
    scene.focus = index
    answer = _statement(scene, index, label, name)
    scene.add(f"{name}{joint}{_question_tail(scene, label)}", answer, "attribute", *_value_wanted(scene, index, label))


def _ask_follow_up(scene: _Scene) -> None:
    if scene.focus is None:
        _ask_any(scene)
        return
    if scene.rng.random() < 0.25 and scene.missing(scene.focus):
        label = scene.rng.choice(scene.missing(scene.focus))
        question = scene.rng.choice(_FOLLOW_UPS) + _question_tail(scene, label)
        scene.add(question, scene.say(_UNKNOWN_THING, x=label), "unknown")
        return
    label = scene.rng.choice(scene.attributes(scene.focus))
    question = scene.rng.choice(_FOLLOW_UPS) + _question_tail(scene, label)
    head = scene.facts[scene.focus].get(scene.domain.heads[-1].name)
    name = head if scene.rng.random() < 0.5 or scene.labels[label].sort == "flag" else None
    answer = _statement(scene, scene.focus, label, name)
    scene.add(question, answer, "follow-up", *_value_wanted(scene, scene.focus, label))


def _ask_other(scene: _Scene) -> None:
    if scene.focus is None:
        _ask_any(scene)
        return
    question = scene.rng.choice(_OTHER_ONE)
    if scene.focus + 1 < len(scene.facts):
        scene.focus += 1
        answer, wanted = _recommendation(scene, scene.focus)
        scene.add(question, answer, "recommend", *wanted)
    else:
        scene.add(question, scene.say(_UNKNOWN_THING, x="다른 것"), "unknown")


def _ask_list(scene: _Scene) -> None:
    head = scene.domain.heads[0].name
    names = [fact[head] for fact in scene.facts]
    if len(names) >= 2 and scene.rng.random() < 0.6:
        names, question = names[:2], scene.rng.choice(_LIST_TWO)
    else:
        question = scene.rng.choice(_LIST_ALL)
    first = f"{Word(names[0]):과} " if len(names) == 2 else ", ".join([*names[:-1], ""])
    listed = first + names[-1] if len(names) > 1 else names[0]
    scene.focus = None
    scene.add(question, scene.say(_THERE_ARE, n=listed), "list", *names)


def _ask_compare(scene: _Scene) -> None:
    shared = sorted(set(scene.plain(0)) & set(scene.plain(-1)))
    head = scene.domain.heads[0].name
    if len(scene.facts) < 2 or not shared or scene.facts[0][head] == scene.facts[-1][head]:
        _ask_attribute(scene)
        return
    label = scene.rng.choice(shared)
    a, b = Word(scene.facts[0][head]), Word(scene.facts[-1][head])
    question = f"{a:과} {b}의 {Word(label):을} 비교해 주세요"
    x, y = scene.facts[0][label], scene.facts[-1][label]
    scene.add(question, scene.say(_COMPARE, a=a, b=b, x=x, y=y), "compare", x, y)


def _ask_yes_no(scene: _Scene) -> None:
    index = scene.rng.randrange(len(scene.facts))
    flags = [label for label in scene.attributes(index) if scene.labels[label].sort == "flag"]
    labels = flags + scene.plain(index)
    if not labels:
        _ask_attribute(scene)
        return
    label = scene.rng.choice(labels)
    value, name = scene.facts[index][label], Word(scene.name_of(index))
    scene.focus = index
    if scene.labels[label].sort == "flag":
        tail = scene.rng.choice((f"{Word(label):이에요}?", f"{label} 맞아요?", f"{label}인가요?"))
        scene.add(f"{name:은} {tail}", _statement(scene, index, label, name), "yes-no")
        return
    right = scene.rng.random() < 0.5
    other = scene.labels[label].make(scene.rng)
    right = right or other == value or other in _STATES
    told = Word(value if right else other)
    tail = scene.rng.choice((f"{told:이에요}?", f"{told} 맞아요?", f"{told}인가요?"))
    answer = scene.say(_RIGHT if right else _WRONG, l=label, v=value)
    scene.add(f"{name} {Word(label):이} {tail}", answer, "yes-no", value)


def _ask_unknown_label(scene: _Scene) -> None:
    index = scene.rng.randrange(len(scene.facts))
    missing = scene.missing(index)
    if not missing:
        _ask_attribute(scene)
        return
    label, name = scene.rng.choice(missing), scene.name_of(index)
    scene.focus = index
    thing = scene.rng.choice((label, f"{name}의 {label}"))
    scene.add(f"{name} {_question_tail(scene, label)}", scene.say(_UNKNOWN_THING, x=thing), "unknown")


def _ask_unknown_item(scene: _Scene) -> None:
    label = scene.rng.choice(sorted({label.name for label in scene.domain.labels}))
    name = scene.domain.heads[0].make(scene.rng)
    scene.add(f"{name} {_question_tail(scene, label)}", scene.say(_UNKNOWN_THING, x=name), "unknown")


def _ask_which(scene: _Scene) -> None:
    index = scene.rng.randrange(len(scene.facts))
    head = scene.domain.heads[0].name
    labels = [
        label
        for label in scene.plain(index)
        if sum(fact.get(label) == scene.facts[index][label] for fact in scene.facts) == 1
    ]
    if not labels:
        _ask_list(scene)
        return
    label = scene.rng.choice(labels)
    question = scene.rng.choice(
        (
            "{l:이} {v}인 {noun:은} 뭐예요?",
            "{l:이} {v}인 것은 무엇입니까?",
            "{l} {v}인 {noun} 알려 주세요",
            "{v}인 거 있어요?",
        )
    ).format(l=Word(label), v=scene.facts[index][label], noun=Word(scene.domain.noun))
    name = scene.facts[index][head]
    scene.focus = index
    scene.add(question, scene.say(_IS, l=name), "which", name)


def _ask_about(scene: _Scene) -> None:
    index = scene.rng.randrange(len(scene.facts))
    labels = scene.plain(index)
    if len(labels) < 2:
        _ask_attribute(scene)
        return
    first, second = scene.rng.sample(labels, k=2)
    name = Word(scene.name_of(index))
    x, y = scene.facts[index][first], scene.facts[index][second]
    question = scene.rng.choice(
        (
            f"{name}의 {Word(first):과} {Word(second):을} 알려 주세요",
            f"{name} {Word(first):이랑} {Word(second):은} 뭐예요?",
        )
    )
    scene.focus = index
    scene.add(question, f"{name:은} {scene.say(_BOTH, l=first, x=x, k=second, y=y)}", "about", x, y)


_FIRST: tuple[tuple[Callable[[_Scene], None], int], ...] = (
    (_ask_any, 34),
    (_ask_attribute, 26),
    (_ask_list, 6),
    (_ask_compare, 6),
    (_ask_yes_no, 7),
    (_ask_unknown_label, 11),
    (_ask_unknown_item, 8),
    (_ask_which, 5),
    (_ask_about, 6),
)
_NEXT: tuple[tuple[Callable[[_Scene], None], int], ...] = (*_FIRST[1:], (_ask_follow_up, 40), (_ask_other, 8))


def _draw(rng: Dice, table: tuple[tuple[Callable[[_Scene], None], int], ...]) -> Callable[[_Scene], None]:
    return rng.choices([step for step, _ in table], weights=[weight for _, weight in table])[0]


def facts_dialogue(rng: Dice) -> Dialogue:
    """A dialogue of two to six exchanges over one to four freshly made items."""
    domain = rng.choices(DOMAINS, weights=[domain.weight for domain in DOMAINS])[0]
    register = choose_register(rng)
    scene = _scene(rng, domain, register, _make_facts(rng, domain))
    _draw(rng, _FIRST)(scene)
    for _ in range(rng.choice((1, 2, 3, 4, 5))):
        _draw(rng, _NEXT)(scene)
    return Dialogue(domain.name, register, system_prompt(rng, register), scene.facts, tuple(scene.exchanges))


def nothing_found_dialogue(rng: Dice) -> Dialogue:
    """Questions that were looked up in vain: the only honest answer is that one does not know."""
    domain = rng.choices(DOMAINS, weights=[domain.weight for domain in DOMAINS])[0]
    register = choose_register(rng)
    scene = _scene(rng, domain, register, ())
    for _ in range(rng.choice((1, 1, 2))):
        head = domain.heads[-1]
        name = head.make(rng)
        label = rng.choice(sorted({label.name for label in domain.labels}))
        want = rng.choice(domain.wants).format(
            like=_core_of(name), kind=rng.choice(("한식", "분식", "간식")), money=Word(words.price(rng))
        )
        question = want if rng.random() < 0.6 else f"{name} {_question_tail(scene, label)}"
        scene.add(question, scene.say(UNKNOWN), "unknown")
    facts = None if rng.random() < 0.15 else ()
    return Dialogue(domain.name, register, system_prompt(rng, register), facts, tuple(scene.exchanges))
