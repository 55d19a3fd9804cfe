"""Makes the labelled Korean set with which the masking of personal data is tuned and measured.

    python scripts/make_pii_set.py [tests/data/pii]

Two origins: lines written by hand (`hand/*.txt`, the secret in [[double brackets]]) and lines by grammar, in which
frames (`frames/*.txt`, the secret's place as {}) are filled with
made-up values and `words.json`. Nothing in it belongs to anybody.
Two halves by a stable hash: of the line when it is written by hand, of the frame when it is made by grammar, so
that the unseen half holds sentences that never stood in the seen one. Recognisers are tuned on `seen.jsonl` only.

A third set, `rough.jsonl`, was written after the recognisers were done, to be as hard as a line can be; it is only
measured.

Each line: {"text", "secrets": [{"kind", "start", "end"}], "of", "origin": "hand" | "grammar"}.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = {
    "rrn": "주민등록번호",
    "frn": "외국인등록번호",
    "phone": "전화번호",
    "email": "이메일",
    "account": "계좌번호",
    "card": "카드번호",
    "address": "주소",
    "licence": "면허번호",
    "passport": "여권번호",
    "plate": "차량번호",
    "birthday": "생년월일",
    "name": "이름",
    "id": "아이디",
}
LINES_PER_KIND = 330
CLEAN_LINES = 3400
MARK = re.compile(r"\[\[(.+?)\]\]")
SLOT = re.compile(r"\{(\w+)\}")

WORDS: dict[str, list[str]] = {}
CITIES = [
    ("서울특별시", "강남구"),
    ("서울시", "마포구"),
    ("서울", "관악구"),
    ("부산광역시", "해운대구"),
    ("부산", "사하구"),
    ("대구", "달서구"),
    ("인천시", "연수구"),
    ("광주광역시", "북구"),
    ("대전", "서구"),
    ("울산", "중구"),
    ("경기도", "고양시 일산동구"),
    ("경기", "화성시"),
    ("강원도", "원주시"),
    ("충북", "충주시"),
    ("충청남도", "천안시 서북구"),
    ("전북", "익산시"),
    ("전남", "목포시"),
    ("경북", "구미시"),
    ("경상남도", "김해시"),
    ("제주특별자치도", "서귀포시"),
    ("", "수원시 영통구"),
    ("", "은평구"),
    ("", "성남시 중원구"),
]
SPELLED = "공일이삼사오육칠팔구"
PLATE_SYLLABLES = "가나다라마거너더러머버서어저고노도로모보소오조구누두루무부수우주하허호바사아자"

Maker = Callable[[random.Random], str]


def digits(rng: random.Random, num: int) -> str:
    return "".join(rng.choice("0123456789") for _ in range(num))


def birth(rng: random.Random) -> tuple[int, int, int]:
    return rng.randint(1940, 2022), rng.randint(1, 12), rng.randint(1, 28)


def full_width(text: str) -> str:
    return "".join(chr(ord(sign) + 0xFEE0) if sign.isdigit() or sign == "-" else sign for sign in text)


def phone(rng: random.Random) -> str:
    first, second = str(rng.randint(2000, 9999)), digits(rng, 4)
    local = str(rng.randint(200, 999))
    return rng.choice(
        [f"010-{first}-{second}"] * 5
        + [f"010{first}{second}"] * 4
        + [f"010 {first} {second}", f"010.{first}.{second}", f"+82 10-{first}-{second}", f"+8210{first}{second}"]
        + [f"011-{local}-{second}", f"0{rng.choice(['2', '31', '32', '51', '53', '62', '64'])}-{local}-{second}"]
        + [f"02-{first}-{second}", f"(031) {local}-{second}", f"070-{first}-{second}", f"02{local}{second}"]
        + [f"{rng.choice(['1588', '1577', '1544', '1670', '1899'])}-{second}", f"0507-{first[:4]}-{second}"]
        + ["".join(SPELLED[int(sign)] for sign in "010") + " " + spell(first) + " " + spell(second)]
        + [
            full_width(f"010-{first}-{second}"),
            f"010 - {first} - {second}",
            f"010-{first}-****",
            f"010–{first}–{second}",
        ]
    )


def spell(number: str) -> str:
    return "".join(SPELLED[int(sign)] for sign in number)


def registration(rng: random.Random, centuries: tuple[str, str]) -> str:
    year, month, day = birth(rng)
    front = f"{year % 100:02}{month:02}{day:02}"
    back = rng.choice(centuries[year >= 2000]) + digits(rng, 6)
    return rng.choice(
        [f"{front}-{back}"] * 6
        + [f"{front}{back}"] * 3
        + [f"{front} {back}", f"{front} - {back}", f"{front}.{back}", f"{front}–{back}", f"{front}-{back[0]}******"]
        + [full_width(f"{front}-{back}"), f"{front}_{back}", f"{front}-{back[0]}XXXXXX", f"{front}\u200b-\u200b{back}"]
    )


def rrn(rng: random.Random) -> str:
    return registration(rng, ("12", "34"))


def frn(rng: random.Random) -> str:
    return registration(rng, ("56", "78"))


def email(rng: random.Random) -> str:
    name = (
        rng.choice(WORDS["handles"])
        + rng.choice(["", "_", ".", "-"])
        + rng.choice(WORDS["handles"])
        + rng.choice(["", digits(rng, 2)])
    )
    host = rng.choice(
        [
            "naver.com",
            "gmail.com",
            "daum.net",
            "hanmail.net",
            "kakao.com",
            "nate.com",
            "company.co.kr",
            "school.ac.kr",
            "korea.kr",
            "outlook.com",
        ]
    )
    return rng.choice([f"{name}@{host}"] * 8 + [f"{name} @ {host}", f"{name}골뱅이{host}", f"{name}@{host}".upper()])


def account(rng: random.Random) -> str:
    shapes = [
        "6-2-6",
        "3-3-6",
        "4-3-6",
        "3-6-5",
        "3-4-4-2",
        "4-2-7",
        "4-4-4",
        "3-6-2-3",
        "12",
        "13",
        "14",
        "6-2-6",
        "3-3-6",
    ]
    number = "-".join(digits(rng, int(part)) for part in rng.choice(shapes).split("-"))
    return rng.choice([number] * 6 + [number.replace("-", " "), number.replace("-", "."), full_width(number)])


def card(rng: random.Random) -> str:
    body = rng.choice(["4", "51", "52", "53", "54", "55", "9490", "9410", "6210", "3560"])
    body += digits(rng, 15 - len(body))
    number = body + luhn(body)
    groups = [number[start : start + 4] for start in range(0, 16, 4)]
    return rng.choice(
        ["-".join(groups)] * 5
        + [" ".join(groups)] * 3
        + [number] * 3
        + [".".join(groups), full_width("-".join(groups)), f"{groups[0]}-****-****-{groups[3]}", "–".join(groups)]
    )


def luhn(body: str) -> str:
    total = 0
    for place, sign in enumerate(reversed(body)):
        value = int(sign) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return str(-total % 10)


def address(rng: random.Random) -> str:
    province, district = rng.choice(CITIES)
    place = f"{province} {district}".strip()
    road = f"{rng.choice(WORDS['roads'])} {rng.randint(1, 400)}" + rng.choice(["", "", f"-{rng.randint(1, 30)}"])
    side = (
        f"{rng.choice(WORDS['roads'])}{rng.choice(['', ' '])}{rng.randint(2, 99)}"
        f"{rng.choice(['번길', '길'])} {rng.randint(1, 99)}"
    )
    lot = f"{rng.choice(WORDS['dongs'])} {rng.randint(1, 1500)}" + rng.choice(["", "번지", f"-{rng.randint(1, 40)}"])
    flat = f"{rng.randint(101, 120)}동 {rng.randint(1, 25)}{rng.randint(1, 9):02}호"
    house = rng.choice(WORDS["houses"])
    return rng.choice(
        [
            f"{place} {road}",
            f"{place} {road}, {flat}",
            f"{place} {side}",
            f"{place} {side} {rng.randint(1, 5)}층",
            f"{place} {lot}",
            f"{place} {lot} {house} {flat}",
            f"{place} {road} ({rng.choice(WORDS['dongs'])}, {house}) {rng.randint(101, 2500)}호",
            f"{house} {flat}",
            f"{rng.choice(WORDS['dongs'])} {house} {flat}",
            f"{place} {rng.choice(WORDS['dongs'])} {house} {flat}",
            f"{place} {road} {rng.randint(101, 990)}호",
            f"{place} {road} 지하 1층",
        ]
    )


def licence(rng: random.Random) -> str:
    area, year, serial, check = (
        str(rng.choice([*range(11, 27), 28])),
        f"{rng.randint(80, 123) % 100:02}",
        digits(rng, 6),
        digits(rng, 2),
    )
    named = rng.choice(["서울", "경기", "부산", "대구", "강원", "전남"])
    return rng.choice(
        [f"{area}-{year}-{serial}-{check}"] * 6
        + [f"{area} {year} {serial} {check}", f"{area}{year}{serial}{check}", f"{named} {year}-{serial}-{check}"]
        + [full_width(f"{area}-{year}-{serial}-{check}"), f"{area}.{year}.{serial}.{check}"]
    )


def passport(rng: random.Random) -> str:
    old = rng.choice("MMMSRO") + digits(rng, 8)
    new = rng.choice("MMMS") + digits(rng, 3) + rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ") + digits(rng, 4)
    return rng.choice(
        [old] * 3 + [new] * 4 + [old.lower(), new.lower(), f"{old[0]} {old[1:5]} {old[5:]}", f"{old[0]}-{old[1:]}"]
    )


def plate(rng: random.Random) -> str:
    front, sign, number = (
        str(rng.choice([rng.randint(10, 99), rng.randint(100, 999)])),
        rng.choice(PLATE_SYLLABLES),
        digits(rng, 4),
    )
    town = rng.choice(["서울", "경기", "부산", "인천"])
    return rng.choice(
        [f"{front}{sign}{number}"] * 4
        + [f"{front}{sign} {number}"] * 4
        + [f"{town} {front[:2]}{rng.choice('아바사자')} {number}"]
        + [f"{front} {sign} {number}"]
    )


def birthday(rng: random.Random) -> str:
    year, month, day = birth(rng)
    return rng.choice(
        [
            f"{year}년 {month}월 {day}일",
            f"{year}년 {month}월 {day}일",
            f"{year}-{month:02}-{day:02}",
            f"{year}.{month:02}.{day:02}",
            f"{year}. {month}. {day}.",
            f"{year}/{month:02}/{day:02}",
            f"{year % 100:02}년 {month}월 {day}일",
            f"{month}월 {day}일",
            f"{month}월 {day}일",
        ]
    )


def name(rng: random.Random) -> str:
    return rng.choice(WORDS["surnames"]) + rng.choice(WORDS["given"])


def handle(rng: random.Random) -> str:
    first, second = rng.choice(WORDS["handles"]), rng.choice(WORDS["handles"])
    return rng.choice(
        [
            f"{first}{digits(rng, rng.randint(1, 4))}",
            f"{first}_{second}",
            f"@{first}.{second}",
            f"{first}{second}{digits(rng, 2)}",
        ]
        + [f"@{first}_{digits(rng, 2)}", f"{first.title()}{second.title()}"]
        + [rng.choice(WORDS["nicknames"]) + rng.choice(["", digits(rng, 2)])] * 2
    )


MAKERS: dict[str, Maker] = {
    "rrn": rrn,
    "frn": frn,
    "phone": phone,
    "email": email,
    "account": account,
    "card": card,
    "address": address,
    "licence": licence,
    "passport": passport,
    "plate": plate,
    "birthday": birthday,
    "name": name,
    "id": handle,
}


def price(rng: random.Random) -> str:
    won = rng.randint(5, 400) * 100
    return rng.choice([f"{won:,}원", f"{won:,}원", f"{won}원", f"{won / 10000:.1f}만원"])


def clock(rng: random.Random) -> str:
    hour, minute = rng.randint(7, 23), rng.choice([0, 10, 20, 30, 40, 50])
    return rng.choice([f"{hour:02}:{minute:02}", f"{hour}시", f"{hour}시 {minute}분", f"오전 {hour % 12}시"])


def date(rng: random.Random) -> str:
    year, month, day = rng.randint(2024, 2027), rng.randint(1, 12), rng.randint(1, 28)
    return rng.choice(
        [
            f"{month}월 {day}일",
            f"{year}년 {month}월 {day}일",
            f"{year}-{month:02}-{day:02}",
            f"{year}.{month:02}.{day:02}",
            f"{month}/{day}",
        ]
    )


CLEAN: dict[str, Maker] = {
    "menu": lambda rng: rng.choice(WORDS["menus"]),
    "shop": lambda rng: rng.choice(WORDS["shops"]),
    "price": price,
    "time": clock,
    "date": date,
    "count": lambda rng: str(rng.choice([rng.randint(1, 30), rng.randint(1, 30), rng.randint(31, 1200)])),
    "bigcount": lambda rng: rng.choice([f"{rng.randint(1000, 99999)}", f"{rng.randint(10**4, 10**8):,}", "1004"]),
    "bigprice": lambda rng: f"{rng.randint(10**2, 10**5) * 1000:,}원",
    "score": lambda rng: f"{rng.randint(10, 50) / 10}",
    "weekday": lambda rng: rng.choice(WORDS["weekdays"]),
    "station": lambda rng: rng.choice(WORDS["stations"]),
    "door": lambda rng: str(rng.randint(1, 12)),
    "gram": lambda rng: str(rng.randint(50, 1500)),
    "percent": lambda rng: str(rng.randint(1, 99)),
    "year": lambda rng: str(rng.randint(1392, 2027)),
    "month": lambda rng: str(rng.randint(1, 12)),
    "day": lambda rng: str(rng.randint(1, 28)),
    "month2": lambda rng: f"{rng.randint(1, 12):02}",
    "day2": lambda rng: f"{rng.randint(1, 28):02}",
    "height": lambda rng: str(rng.randint(90, 190)),
    "food": lambda rng: rng.choice(WORDS["foods"]),
    "job": lambda rng: rng.choice(WORDS["jobs"]),
    "who": lambda rng: rng.choice(WORDS["who"]),
}


def by_hand(kind: str, line: str) -> dict[str, Any]:
    """The line without its brackets, and where the secrets stand in it."""
    text, secrets, last = "", [], 0
    for mark in MARK.finditer(line):
        text += line[last : mark.start()]
        secrets.append({"kind": KINDS[kind], "start": len(text), "end": len(text) + len(mark.group(1))})
        text += mark.group(1)
        last = mark.end()
    return {"text": text + line[last:], "secrets": secrets, "of": kind, "origin": "hand", "hash": line}


def by_grammar(kind: str, frame: str, rng: random.Random) -> dict[str, Any]:
    """The frame with a made-up value; accounts come with their bank, before or after."""
    value, start = MAKERS[kind](rng), frame.index("{}")
    before = after = ""
    if kind == "account":
        bank = rng.choice(WORDS["banks"])
        before, after = rng.choice(
            [(f"{bank} ", ""), (f"{bank} ", ""), (f"{bank} 계좌 ", ""), ("", f" {bank}"), ("", f" ({bank})")]
        )
    text = frame.replace("{}", before + value + after)
    start += len(before)
    secrets = [{"kind": KINDS[kind], "start": start, "end": start + len(value)}]
    return {"text": text, "secrets": secrets, "of": kind, "origin": "grammar", "hash": frame}


def clean_by_grammar(frame: str, rng: random.Random) -> dict[str, Any]:
    text = SLOT.sub(lambda slot: CLEAN[slot.group(1)](rng), frame)
    return {"text": text, "secrets": [], "of": "clean", "origin": "grammar", "hash": frame}


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def read_words(folder: Path) -> None:
    for name, words in json.loads((folder / "words.json").read_text(encoding="utf-8")).items():
        WORDS[name] = words.split()


def make_all(folder: Path) -> list[dict[str, Any]]:
    """All lines in a fixed order, each text once."""
    read_words(folder)
    rows: list[dict[str, Any]] = []
    for kind in KINDS:
        rng = random.Random(f"pii {kind}")
        rows += [by_hand(kind, line) for line in lines_of(folder / "hand" / f"{kind}.txt")]
        frames = lines_of(folder / "frames" / f"{kind}.txt")
        rows += [by_grammar(kind, frames[turn % len(frames)], rng) for turn in range(LINES_PER_KIND)]
    rng = random.Random("pii clean")
    rows += [by_hand("clean", line) for line in lines_of(folder / "hand" / "clean.txt")]
    frames = lines_of(folder / "frames" / "clean.txt")
    rows += [clean_by_grammar(frames[turn % len(frames)], rng) for turn in range(CLEAN_LINES)]
    return list({row["text"]: row for row in rows}.values())


def rough(folder: Path) -> list[dict[str, Any]]:
    """Lines as nobody hopes for them, kind and text divided by a tab: spoken, torn apart, or meant to get through."""
    rows = [line.split("\t", 1) for line in lines_of(folder / "hand" / "rough.txt")]
    made = [by_hand(kind, line) for kind, line in rows]
    return [{name: value for name, value in row.items() if name != "hash"} for row in made]


def is_seen(row: dict[str, Any]) -> bool:
    digest = hashlib.sha256(f"{row['of']}|{row.pop('hash')}".encode()).digest()
    return digest[0] % 2 == 0


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/pii")
    halves: dict[bool, list[str]] = {True: [], False: []}
    for row in make_all(folder):
        halves[is_seen(row)].append(json.dumps(row, ensure_ascii=False))
    sets = {"seen": halves[True], "unseen": halves[False]}
    sets["rough"] = [json.dumps(row, ensure_ascii=False) for row in rough(folder)]
    for name, lines in sets.items():
        path = folder / f"{name}.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"{path}: {len(lines)} lines")


if __name__ == "__main__":
    main()
