"""What curation costs: rows a second of the whole chain, flat from 10,000 to 1,000,000 rows, beside other tools.

    .venv/bin/python benchmarks/curation.py [--rows 10000 100000 1000000] [--others PYTHON] [--json FILE]

The rows are chat as children write it, made by rule: 2 % hold personal data, 10 % are near-duplicates of earlier rows,
half carry a retrieved item. CPU seconds of one process count (`process_time`), not the clock, and of several runs the
median, since machines are shared. Each run has a process of its own, so that its peak memory is its own.

Two ways: from a list (as all tools get the rows, for comparison) and as a stream, whose rows are made while it runs
(the making is timed and taken off; what it costs in cold caches is not).

Others: Presidio with its Korean recognisers alone (here); datatrove and Data-Juicer with their nearest rules, in the
Python that `--others` names (they don't fit beside this project's packages). All get the same rows in the same run.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START = datetime(2026, 7, 1, tzinfo=UTC)
NEAR_DUPLICATES, PERSONAL = 10, 50
"""One row in so many."""

DISHES = [
    "떡볶이",
    "김밥",
    "라면",
    "순대",
    "튀김",
    "만두",
    "볶음밥",
    "카레",
    "돈가스",
    "우동",
    "국수",
    "비빔밥",
    "토스트",
    "샌드위치",
    "샐러드",
    "덮밥",
]
STREETS = ["해맑은", "달빛", "솔바람", "반짝", "다온", "늘봄", "구름", "종달새", "뭉게", "새싹"]
SHOPS = [f"{street}{kind}" for street in STREETS for kind in ("분식", "식당", "밥집", "김밥", "반점")]
MOMENTS = [
    "학교 끝나고",
    "학원 가기 전에",
    "주말 아침에",
    "비 오는 날",
    "저녁에 혼자",
    "동생이랑 같이",
    "운동하고 나서",
    "시험 끝난 날",
]
WISHES = [
    "싼 데",
    "조용한 데",
    "가까운 곳",
    "양 많은 데",
    "안 매운 거",
    "따뜻한 거",
    "빨리 나오는 데",
    "처음 가는 곳",
    "앉을 자리 있는 데",
    "맛있는 곳",
]
ASKS = [
    "{d} 먹고 싶어요",
    "{d} 파는 데 알려 줘",
    "{d} 어디가 좋아요?",
    "{d} 있어? 배고파ㅠㅠ",
    "오늘 {d} 어때",
    "{d}랑 {e} 중에 뭐가 나아?",
]
ANSWERS = [
    "{s}에서 {d} {p}원에 먹을 수 있어요! 😊",
    "{d} 찾았어요! {s}인데 {p}원이에요.",
    "{s} 어때요? {d} 한 그릇에 {p}원이에요!",
    "{p}원이면 {s} {d} 먹을 수 있죠! 착한가게예요.",
    "오늘은 {s}의 {d} 어때요? 값은 {p}원이에요.",
    "{d}라면 {s}이 가까워요. {p}원이면 돼요!",
]
SECRETS = ("제 번호는 010-{a:04d}-{b:04d}이에요", "메일은 kid{a}@daum.net이에요", "{a:06d}-3{b:06d} 이거 제 거예요")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, of which the median counts")
    parser.add_argument("--others", type=Path, help="a Python that has datatrove and py-data-juicer")
    parser.add_argument("--compared", type=int, default=10_000, help="rows that all tools get")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(CHILDREN[arguments.child](arguments.compared)))
        return
    figures: dict[str, Any] = {"sizes": [], "tools": {}}
    for num in arguments.rows:
        runs = [_in_child("stream", num) for _repeat in range(arguments.repeats if num < 1_000_000 else 1)]
        figures["sizes"].append(_median(runs))
        print(_line(f"stream, {num:,} rows", figures["sizes"][-1]), flush=True)
    tools = ["nabi", "parts", "presidio"] + (["datatrove", "datajuicer"] if arguments.others else [])
    for _repeat in range(arguments.repeats):
        for tool in tools:
            python = arguments.others if tool in ("datatrove", "datajuicer") else Path(sys.executable)
            figures["tools"].setdefault(tool, []).append(_in_child(tool, arguments.compared, python))
    figures["tools"] = {tool: _median(runs) for tool, runs in figures["tools"].items()}
    own = figures["tools"]["nabi"]["us_a_row"]
    for tool, figure in figures["tools"].items():
        print(_line(f"{tool}, {arguments.compared:,} rows", figure), f"{figure['us_a_row'] / own:7.2f} × nabi's time")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False))


def make_rows(num: int) -> Iterator[dict[str, Any]]:
    """The rows, always the same ones: number, user, question, answer, facts."""
    for number in range(num):
        row = _fresh_row(number)
        if number % NEAR_DUPLICATES == 9:
            row = {**_fresh_row(number - 5), "number": number, "user": row["user"]}
            row["question"] += "!!" if number % 20 == 9 else "요"
        if number % PERSONAL == 7:
            place = _place(number)
            secret = SECRETS[place % 3].format(a=place // 3 % 9000 + 1000, b=place // 29 % 9000 + 1000)
            row["question"] = f"{secret} {row['question']}"
        yield row


def _fresh_row(number: int) -> dict[str, Any]:
    place = _place(number)
    dish, other, shop = DISHES[place % 16], DISHES[place // 16 % 16], SHOPS[place // 256 % 50]
    price = f"{2 + place // 12_800 % 7},{place // 89_600 % 10}00"
    wish = f"{MOMENTS[place // 7 % 8]} {WISHES[place // 11 % 10]}"
    aside = f"{SHOPS[place // 17 % 50]} 말고" if place // 19 % 2 else f"{DISHES[place // 23 % 16]} 질렸어"
    return {
        "number": number,
        "user": f"child-{place // 29 % 20_000}",
        "question": f"{wish} {aside} {ASKS[place // 31 % 6].format(d=dish, e=other)}",
        "answer": ANSWERS[place // 37 % 6].format(s=shop, d=dish, p=price),
        "facts": [{"가게": shop, "메뉴": dish, "가격": f"{price}원"}] if place // 41 % 2 else [],
    }


def _place(number: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{number}".encode(), digest_size=8).digest(), "big")


def time_stream(num: int) -> dict[str, Any]:
    """The whole chain as a stream."""
    from nabi.curation.chain import Refusal, curate_stream
    from nabi.curation.memory import Memory
    from nabi.personas.load import load_persona

    persona = load_persona("nabiyam", ROOT / "personas")
    list(curate_stream(_conversations(2_000), persona, Memory(persona)))  # imports, tables and compiled patterns
    making = Making(num)
    counts: Counter[str] = Counter()
    start = time.process_time()
    for outcome in curate_stream(making, persona, Memory(persona)):
        counts[outcome.reason if isinstance(outcome, Refusal) else "kept"] += 1
    seconds = time.process_time() - start - making.seconds
    return _figure(seconds, num) | {"outcomes": dict(counts.most_common())}


def time_nabi(num: int) -> dict[str, Any]:
    """The whole chain over rows that are there already."""
    from nabi.curation.chain import Refusal, curate_stream
    from nabi.curation.memory import Memory
    from nabi.personas.load import load_persona

    persona = load_persona("nabiyam", ROOT / "personas")
    list(curate_stream(_conversations(2_000), persona, Memory(persona)))
    rows = list(_conversations(num))
    start = time.process_time()
    outcomes = list(curate_stream(rows, persona, Memory(persona)))
    seconds = time.process_time() - start
    counts = Counter(outcome.reason if isinstance(outcome, Refusal) else "kept" for outcome in outcomes)
    return _figure(seconds, num) | {"outcomes": dict(counts.most_common())}


class Making:
    """The rows one by one, made by the thousand; the time that takes is counted and is none of the chain's."""

    def __init__(self, num: int) -> None:
        self._rows = _conversations(num)
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        while True:
            start = time.process_time()
            block = list(itertools.islice(self._rows, 1_024))
            self.seconds += time.process_time() - start
            if not block:
                return
            yield from block


def time_parts(num: int) -> dict[str, Any]:
    """Which part of the chain takes how many microseconds a row, each on all rows."""
    from nabi.curation.chain import chain_for
    from nabi.curation.duplicates import SeenTexts
    from nabi.curation.poison import History
    from nabi.curation.shares import Shares
    from nabi.curation.texts import Texts
    from nabi.personas.load import load_persona

    persona = load_persona("nabiyam", ROOT / "personas")
    chain, rules = chain_for(persona), persona.curation
    rows = list(_conversations(num))
    blocks = [rows[start : start + 1024] for start in range(0, num, 1024)]
    memory = {
        "duplicates": SeenTexts(rules.near_duplicate, rules.near_duplicate_memory).judge,
        "poison": History(rules).judge,
        "floods": Shares(persona).judge,
    }
    parts: dict[str, Callable[[], object]] = {
        "each row": lambda: [judge(row) for row in rows for judge in (*chain.before_reading, *chain.reading)],
        "personal data": lambda: [chain.mask(block) for block in blocks],
        "texts": lambda: [judge(Texts.of(block)) for block in blocks for judge in chain.reading_blocks],
        **{name: lambda judge=judge: [judge(block) for block in blocks] for name, judge in memory.items()},  # type: ignore[misc]
    }
    chain.mask(rows[:1000])  # Presidio is imported when first needed
    seconds = {}
    for name, run in parts.items():
        start = time.process_time()
        run()
        seconds[name] = time.process_time() - start
    total = _figure(sum(seconds.values()), num)
    return total | {"outcomes": {name: round(used / num * 1e6, 2) for name, used in seconds.items()}}


def time_presidio(num: int) -> dict[str, Any]:
    """Presidio's analyser alone with its own Korean recognisers (its e-mail one asks the network): no other filter."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine
    from presidio_analyzer.predefined_recognizers import (
        CreditCardRecognizer,
        KrBrnRecognizer,
        KrDriverLicenseRecognizer,
        KrFrnRecognizer,
        KrPassportRecognizer,
        KrRrnRecognizer,
        PhoneRecognizer,
    )

    engine = NoOpNlpEngine([{"lang_code": "ko", "model_name": ""}])
    korean = (KrRrnRecognizer, KrFrnRecognizer, KrBrnRecognizer, KrDriverLicenseRecognizer, KrPassportRecognizer)
    recognisers = [
        *(recogniser(supported_language="ko") for recogniser in korean),
        CreditCardRecognizer(supported_language="ko"),
        PhoneRecognizer(supported_language="ko", supported_regions=["KR"]),
    ]
    registry = RecognizerRegistry(recognizers=recognisers, supported_languages=["ko"])
    analyzer = AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=["ko"])
    rows = list(make_rows(num))
    start = time.process_time()
    found = sum(bool(analyzer.analyze(f"{row['question']}\n{row['answer']}", language="ko")) for row in rows)
    return _figure(time.process_time() - start, num) | {"outcomes": {"rows with findings": found}}


def time_datatrove(num: int) -> dict[str, Any]:
    """datatrove's nearest rules: length, repetition (Gopher), e-mail and address masks, MinHash signatures."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature
    from datatrove.pipeline.filters import GopherRepetitionFilter, LambdaFilter
    from datatrove.pipeline.formatters import PIIFormatter

    filters = [
        LambdaFilter(lambda document: len(document.text) > 5),
        GopherRepetitionFilter(language="eng", dup_line_frac=None, dup_para_frac=None),
    ]
    mask = PIIFormatter()
    with tempfile.TemporaryDirectory() as folder:
        signer = MinhashDedupSignature(folder, config=MinhashConfig(num_buckets=8, hashes_per_bucket=8), language="eng")
        rows = [Document(text=f"{row['question']}\n{row['answer']}", id=str(row["number"])) for row in make_rows(num)]
        outcomes: Counter[str] = Counter()
        start = time.process_time()
        for document in rows:
            document.text = mask.format(document.text)
            verdicts = [filter_.filter(document) for filter_ in filters]
            outcomes["refused" if any(verdict is not True for verdict in verdicts) else "kept"] += 1
            signer.get_signature(signer.get_shingles(document.text))
        seconds = time.process_time() - start
    return _figure(seconds, num) | {"outcomes": dict(outcomes)}


def time_datajuicer(num: int) -> dict[str, Any]:
    """Data-Juicer's nearest rules: length, repeated and special characters, e-mail cleaning, MinHash."""
    from data_juicer.ops.deduplicator.document_minhash_deduplicator import DocumentMinhashDeduplicator
    from data_juicer.ops.filter.character_repetition_filter import CharacterRepetitionFilter
    from data_juicer.ops.filter.special_characters_filter import SpecialCharactersFilter
    from data_juicer.ops.filter.text_length_filter import TextLengthFilter
    from data_juicer.ops.mapper.clean_email_mapper import CleanEmailMapper
    from data_juicer.utils.constant import Fields

    filters = [
        TextLengthFilter(min_len=5),
        CharacterRepetitionFilter(rep_len=4, max_ratio=0.4),
        SpecialCharactersFilter(max_ratio=0.5),
    ]
    mapper = CleanEmailMapper()
    hasher = DocumentMinhashDeduplicator(
        tokenization="character", window_size=4, num_permutations=64, num_bands=8, num_rows_per_band=8
    )
    samples: dict[str, list[Any]] = {
        "text": [f"{row['question']}\n{row['answer']}" for row in make_rows(num)],
        Fields.stats: [{} for _row in range(num)],
    }
    kept = 0
    start = time.process_time()
    for first in range(0, num, 1000):
        batch = {name: values[first : first + 1000] for name, values in samples.items()}
        batch = mapper.process_batched(batch)
        passed = [True] * len(batch["text"])
        for filter_ in filters:
            batch = filter_.compute_stats_batched(batch)
            passed = [one and two for one, two in zip(passed, filter_.process_batched(batch), strict=True)]
        for text in batch["text"]:
            hasher.compute_hash({"text": text})
        kept += sum(passed)
    return _figure(time.process_time() - start, num) | {"outcomes": {"kept": kept, "refused": num - kept}}


CHILDREN: dict[str, Callable[[int], dict[str, Any]]] = {
    "stream": time_stream,
    "nabi": time_nabi,
    "parts": time_parts,
    "presidio": time_presidio,
    "datatrove": time_datatrove,
    "datajuicer": time_datajuicer,
}


def _conversations(num: int) -> Iterator[Any]:
    from nabi.conversations.records import Consent, Conversation, Message

    consent = Consent(training=True, given_at=START - timedelta(days=1))
    for row in make_rows(num):
        yield Conversation.model_construct(
            conversation_id=f"row-{row['number']}",
            persona_id="nabiyam",
            source="chat",
            occurred_at=START,
            messages=(
                Message.model_construct(role="user", content=row["question"]),
                Message.model_construct(role="assistant", content=row["answer"]),
            ),
            facts=tuple(row["facts"]),
            user_key=row["user"],
            consent=consent,
        )


def _figure(seconds: float, num: int) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "rows": num,
        "us_a_row": round(seconds / num * 1e6, 2),
        "rows_a_second": round(num / seconds),
        "mib": round(peak),
    }


def _in_child(tool: str, num: int, python: Path = Path(sys.executable)) -> dict[str, Any]:
    command = [str(python), str(Path(__file__).resolve()), "--child", tool, "--compared", str(num)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {
            "rows": num,
            "us_a_row": float("nan"),
            "rows_a_second": 0,
            "mib": 0,
            "outcomes": {"failed": done.stderr[-300:]},
        }
    figure: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figure


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    middle = statistics.median_low([run["us_a_row"] for run in runs])
    chosen = next((run for run in runs if run["us_a_row"] == middle), runs[0])
    return chosen | {"runs": [run["us_a_row"] for run in runs]}


def _line(name: str, figure: dict[str, Any]) -> str:
    return (
        f"{name:28} {figure['us_a_row']:9.1f} µs a row {figure['rows_a_second']:9,} rows a second a core"
        f" {figure['mib']:6,} MiB  {figure['outcomes']}"
    )


if __name__ == "__main__":
    main()
