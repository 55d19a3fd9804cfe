"""What people see of a pass beside its sentence: counts, figures and links. No word of a conversation is in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nabi.steps.window import Judged, Kept, Scored, Snapshot
from nabi.wiring import Platform

if TYPE_CHECKING:
    # Evaluation brings torch along, which a window that trains nothing should not wait for.
    from nabi.evaluation.score import PromptScore


def filter_table(kept: Kept) -> list[dict[str, Any]]:
    """What was kept and what was set apart, by reason, with shares; the total last."""
    counts = {
        "kept: new": kept.num_new,
        "kept: learned before": kept.num_learned,
        **{f"set apart: {reason}": num for reason, num in sorted(kept.refused.items(), key=lambda item: -item[1])},
    }
    total = sum(counts.values())
    rows = [
        {"outcome": outcome, "conversations": num, "share": f"{num / total:.1%}" if total else "–"}
        for outcome, num in counts.items()
    ]
    return [*rows, {"outcome": "all", "conversations": total, "share": "100.0%" if total else "–"}]


def comparison_table(scored: Scored) -> list[dict[str, Any]]:
    """Base, champion and candidate on the same prompts: quality, its parts, broken prompts, number of prompts."""
    from nabi.steps.evaluate import BASE, load_contenders

    contenders = load_contenders(scored.scores)
    roles = {BASE: "base", scored.champion: "champion", scored.candidate.adapter: "candidate"}
    return [_contender(name, roles.get(name, "earlier"), measured.scores) for name, measured in contenders.items()]


def dataset_page(platform: Platform, snapshot: Snapshot) -> str:
    """The dataset version: its size, where to look at it, and how to get it back."""
    persona_id = snapshot.window.persona_id
    return "\n".join(
        [
            f"## Dataset `{snapshot.version}`",
            "",
            "| part | samples |",
            "|---|---|",
            f"| train | {snapshot.num_train} |",
            f"| held out | {snapshot.num_holdout} |",
            f"| anchors | {snapshot.num_anchors} |",
            f"| new to the champion | {snapshot.num_new} |",
            "",
            f"[Card and MLflow dataset]({_run_page(platform, snapshot)}/artifacts/dataset)"
            f" · sha256 of its files `{snapshot.digest[:12]}`",
            "",
            _checkout(persona_id, snapshot.version),
        ]
    )


def verdict_page(platform: Platform, judged: Judged) -> str:
    """The gate's decision with its figures, and links to everything it was made from."""
    candidate, run = judged.candidate, _run_page(platform, judged.candidate.snapshot)
    figures = {
        "quality of the opponent": _figure(judged.champion_quality, ".3f"),
        "quality of the candidate": _figure(judged.candidate_quality, ".3f"),
        "gain": _figure(judged.gain, "+.1%"),
        "loss on held-out samples": _figure(candidate.holdout_loss, ".3f"),
        "training": f"{candidate.seconds:.0f} s",
    }
    return "\n".join(
        [
            f"## {candidate.adapter}: {'deploy' if judged.deploy else 'keep the champion'}",
            "",
            judged.sentence,
            "",
            "| figure | value |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in figures.items()),
            "",
            f"[MLflow run]({run}) · [the gate's report]({run}/artifacts/evaluation/gate.md)"
            f" · [dataset]({run}/artifacts/dataset)",
            "",
            _checkout(candidate.window.persona_id, candidate.snapshot.version),
        ]
    )


def _contender(name: str, role: str, rows: Sequence[PromptScore]) -> dict[str, Any]:
    from nabi.evaluation.gate import measured_scores
    from nabi.evaluation.score import PARTS, mean_quality

    measured = measured_scores(rows)
    row: dict[str, Any] = {"contender": name, "role": role, "prompts": len(rows), "quality": "–"}
    if measured:
        row["quality"] = f"{mean_quality(measured):.3f}"
        for part in PARTS:
            if part in measured[0].parts:
                row[part] = f"{sum(score.parts[part] for score in measured) / len(measured):.3f}"
    return row | {"breaks a hard gate": sum(bool(score.broken) for score in rows)}


def _run_page(platform: Platform, snapshot: Snapshot) -> str:
    experiment = platform.tracker.experiment_id(snapshot.window.persona_id)
    return f"{platform.settings.mlflow_pages}/#/experiments/{experiment}/runs/{snapshot.run_id}"


def _checkout(persona_id: str, version: str) -> str:
    return f"Get exactly this dataset: `nabi datasets checkout {version} --persona {persona_id}`"


def _figure(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)
