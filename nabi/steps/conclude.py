"""Gate, deploy, keep: how a pass with a candidate ends. Each ends in one sentence in the journal and in MLflow."""

from __future__ import annotations

from collections.abc import Mapping

from nabi.evaluation.gate import Contender, Luck, Verdict, decide
from nabi.evaluation.judge import weigh
from nabi.evaluation.plot import save_gain_plot
from nabi.evaluation.report import gate_report
from nabi.evaluation.spending import DAYS, most_gates
from nabi.personas.model import Persona
from nabi.registry.journal import Ended
from nabi.registry.leases import persona_lease
from nabi.registry.rollouts import OnTrial
from nabi.steps.evaluate import evaluation_prompts, load_contenders
from nabi.steps.guard import uses_words
from nabi.steps.window import Candidate, Ending, Judged, Scored, Window
from nabi.wiring import Platform

WHO = "the gate"


@uses_words
def judge(platform: Platform, scored: Scored) -> Judged:
    """Asks the gate, and leaves its report where people look."""
    candidate = scored.candidate
    persona = platform.persona(candidate.window.persona_id)
    contenders = load_contenders(scored.scores)
    verdict = decide(
        contenders[scored.opponent],
        contenders[candidate.adapter],
        persona.evaluation,
        _luck(platform, persona, candidate.window),
    )
    verdict = weigh(verdict, scored.opinion, persona.evaluation.judge)
    _log_verdict(platform, scored, verdict, contenders)
    return Judged(
        candidate=candidate,
        champion=scored.champion,
        deploy=verdict.deploy,
        sentence=verdict.sentence,
        gain=verdict.gain,
        champion_quality=verdict.champion_quality,
        candidate_quality=verdict.candidate_quality,
    )


def _luck(platform: Platform, persona: Persona, window: Window) -> Luck:
    """How often the persona was gated in the days that share one error budget."""
    most = most_gates(persona.limits.max_trainings_per_day)
    return Luck(gate=platform.journal.gates_before(persona.id, window.as_of, DAYS, window.line) + 1, most=most)


def deploy(platform: Platform, judged: Judged) -> Ending:
    """Makes the candidate live; its conversations count as learned from now on. In a replay that is only recorded."""
    candidate = judged.candidate
    if candidate.window.replayed:
        return _win(platform, judged)
    version = platform.registry.version(candidate.adapter)
    lease = platform.holding.lease(persona_lease(candidate.window.persona_id))
    try:
        platform.registry.deploy(version, who=WHO, why=judged.sentence, lease=lease)
    except OnTrial as trial:
        return keep(platform, judged.model_copy(update={"deploy": False, "sentence": _kept_for(trial, judged)}))
    rows = platform.journal.rows_of(candidate.snapshot.version, candidate.window.persona_id)
    # Held-out conversations are used up too: they were this deployment's measure. Anchors stay anchors.
    used = [row.conversation_id for row in rows if row.part != "anchor"]
    platform.store.mark_learned(candidate.window.persona_id, used, candidate.adapter, candidate.snapshot.version)
    return _finish(platform, candidate, "deployed", judged)


def _kept_for(trial: OnTrial, judged: Judged) -> str:
    return f"kept: {trial.what}, and nothing else goes live meanwhile; it would have been {judged.sentence}"


def _win(platform: Platform, judged: Judged) -> Ending:
    """A replay's winner: what later windows of the replay are compared with, and nothing that answers anybody."""
    sentence = f"won the replay, nothing went live: it would have been {judged.sentence}"
    won = judged.model_copy(update={"sentence": sentence})
    platform.registry.note_winner(platform.registry.version(judged.candidate.adapter), why=sentence)
    platform.tracker.log_tags(judged.candidate.snapshot.run_id, {"decision": "won the replay", "sentence": sentence})
    return _finish(platform, judged.candidate, "won", won)


def keep(platform: Platform, judged: Judged) -> Ending:
    """Leaves the live adapter as it is; the conversations stay new for the next window."""
    platform.registry.reject(platform.registry.version(judged.candidate.adapter), why=judged.sentence)
    return _finish(platform, judged.candidate, "kept", judged)


def _finish(platform: Platform, candidate: Candidate, state: Ended, judged: Judged) -> Ending:
    window, snapshot = candidate.window, candidate.snapshot
    figures = {
        "num_new": snapshot.num_new,
        "num_train": snapshot.num_train,
        "train_loss": candidate.train_loss,
        "holdout_loss": candidate.holdout_loss,
        "champion_quality": judged.champion_quality,
        "candidate_quality": judged.candidate_quality,
        "gain": judged.gain,
        "seconds": candidate.seconds,
    }
    platform.journal.finish(
        window.persona_id,
        window.as_of,
        state,
        judged.sentence,
        dataset_version=snapshot.version,
        adapter_version=candidate.adapter,
        mlflow_run_id=snapshot.run_id,
        figures=figures,
        line=window.line,
    )
    platform.tracker.close_run(snapshot.run_id)
    return Ending(window=window, state=state, sentence=judged.sentence)


def _log_verdict(platform: Platform, scored: Scored, verdict: Verdict, contenders: Mapping[str, Contender]) -> None:
    tracker, run_id = platform.tracker, scored.candidate.snapshot.run_id
    tags = {"decision": "deploy" if verdict.deploy else "keep", "sentence": verdict.sentence}
    tracker.log(run_id, metrics=verdict.figures(), tags=tags)
    questions = {p.sample.sample_id: p.sample.question for p in evaluation_prompts(platform, scored.candidate)}
    picture = scored.scores.with_name("gain.png")
    save_gain_plot(picture, verdict)
    tracker.log_file(run_id, picture, "evaluation")
    tracker.log_text(run_id, gate_report(verdict, contenders, questions, opinion=scored.opinion), "evaluation/gate.md")
