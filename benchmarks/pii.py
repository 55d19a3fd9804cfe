"""How well personal data are masked in the labelled Korean set, and how fast.

    python benchmarks/pii.py [--half seen|unseen|rough] [--misses]

`--half unseen` prints totals only: its lines are not to be looked at by whoever tunes the recognisers. `rough` is a
small third set of lines that are spoken, torn apart or meant to get through.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from nabi.curation.pii.engine import analyzer
from nabi.curation.pii.mask import mask
from nabi.curation.pii.measure import Line, Score, is_masked, measure, read_lines
from nabi.curation.pii.prefilter import needs_look

DATA = Path(__file__).parents[1] / "tests" / "data" / "pii"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=("seen", "unseen", "rough"), default="seen")
    parser.add_argument("--misses", action="store_true", help="print what was missed (of the seen half)")
    options = parser.parse_args()
    lines = read_lines(DATA / f"{options.half}.jsonl")
    analyzer()
    print_score(options.half, measure(lines))
    if options.half == "seen":
        print_speed(lines)
        if options.misses:
            print_misses(lines)


def print_score(half: str, score: Score) -> None:
    print(f"| {half} half | secrets | masked | masked or set apart | right placeholder |\n|---|---|---|---|---|")
    for kind, tally in score.kinds.items():
        shares = [f"{value / tally.secrets:.1%}" for value in (tally.masked, tally.safe, tally.right_kind)]
        print(f"| {kind} | {tally.secrets} | {' | '.join(shares)} |")
    if not score.clean:
        return
    print(f"\nclean lines: {score.clean}, touched without need: {score.touched} ({score.touched / score.clean:.2%})")


def print_speed(lines: list[Line]) -> None:
    clean = [line.text for line in lines if not line.secrets and not needs_look(line.text)]
    secret = [line.text for line in lines if line.secrets]
    print(f"\nprefilter on clean chat: {per_second(needs_look, clean, 5):,.0f} lines a second")
    print(f"mask on clean chat: {per_second(mask, clean, 3):,.0f} lines a second")
    print(f"mask on lines with secrets: {per_second(mask, secret, 1):,.0f} lines a second")


def per_second(work: object, texts: list[str], rounds: int) -> float:
    """The best of some rounds by the process's own clock: other programs on the machine do not count."""
    assert callable(work)
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for text in texts:
            work(text)
        best = min(best, time.process_time() - start)
    return len(texts) / best


def print_misses(lines: list[Line]) -> None:
    for line in lines:
        masked = mask(line.text)
        if not line.secrets and (masked.found or masked.doubtful):
            print(
                "touched",
                line.text,
                "→",
                masked.text,
                [line.text[doubt.start : doubt.end] for doubt in masked.doubtful],
            )
        for secret in line.secrets:
            if not is_masked(line, secret, masked):
                mark = "apart " if masked.doubtful else "MISSED"
                print(mark, line.of, line.text, "→", masked.text)


if __name__ == "__main__":
    main()
