"""The six-hourly loop, top to bottom: one run serves one or many personas for the window that ends at `as_of`."""

from __future__ import annotations

from datetime import datetime

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run

from flows.endings import end_run
from nabi.personas.model import Preset
from nabi.steps.window import Ending, Judged, Snapshot
from tasks.bootstrap import fill_up, why_not_train
from tasks.collect import collect, open_windows
from tasks.deploy import deploy, each_fails_alone, keep, none_left_open, skip
from tasks.evaluate import evaluate_candidate
from tasks.filter import keep_usable
from tasks.forget import finish_deletions_first
from tasks.gate import judge
from tasks.people import ask_people, wait_for_votes
from tasks.second_opinion import ask_judge
from tasks.snapshot import take_snapshot
from tasks.train import train_candidate, train_together
from tasks.turn import our_turn


def run_name() -> str:
    """Whom a run serves and until when, as the pages list it."""
    asked = flow_run.parameters
    whom = ", ".join(asked.get("persona_ids") or ["every persona"])
    # A deployment's parameters arrive as text.
    until = datetime.fromisoformat(str(asked.get("as_of") or flow_run.scheduled_start_time))
    return f"{whom} until {until:%Y-%m-%d %H:%M %Z}{' (replay)' if asked.get('replay') else ''}"


@flow(name="continuous-learning", flow_run_name=run_name, persist_result=True)
def continuous_learning(
    persona_ids: list[str] | None = None,
    as_of: datetime | None = None,
    preset: Preset | None = None,
    *,
    replay: bool = False,
) -> State[list[Ending]]:
    """Collects, trains, evaluates and deploys what is really better; everything else leaves the champion alone.

    Args:
        persona_ids: None for every declared persona.
        as_of: end of the window; None for the time the run was scheduled for.
        preset: replaces the personas' own preset for this run.
        replay: compares with what stood at that time in the replayed past, and deploys nothing.
    """
    endings: list[Ending] = []
    due: list[Snapshot] = []
    voting: list[Judged] = []
    with our_turn(persona_ids):
        windows = open_windows(persona_ids, as_of, replay)
        with none_left_open(windows, endings):
            finish_deletions_first()
            for window in windows:
                with each_fails_alone(window, endings):
                    kept = keep_usable(collect(window))
                    filled = fill_up(kept)
                    if why := why_not_train(filled):
                        endings.append(skip(filled, why))
                    else:
                        due.append(take_snapshot(filled))
            train_together(due, preset)
            for snapshot in due:
                with each_fails_alone(snapshot.window, endings):
                    candidate = train_candidate(snapshot, preset)
                    judged = ask_people(judge(ask_judge(evaluate_candidate(candidate))))
                    if judged.awaits:
                        voting.append(judged)
                    else:
                        endings.append(deploy(judged) if judged.deploy else keep(judged))
            wait_for_votes(voting)
        return end_run(endings)
