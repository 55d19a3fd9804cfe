"""The rules of the queue, without a server: who waits and why, who goes on, who is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from nabi.control.actions import Action, Cancel, DeclareCrashed, GiveUp, HandBack, Hold, Release, Resume
from nabi.control.decide import HOLD_FOR, LOOK_AGAIN, LOOK_AHEAD, decide
from nabi.control.queue import full, waiting
from nabi.control.recovery import MAX_CRASHES, NEVER_CAME, NOT_BEGUN, SETTLING
from nabi.control.runs import Run, Situation, Working

NOW = datetime(2026, 7, 1, 3, tzinfo=UTC)
HOUR = timedelta(hours=1)
BUSY = Situation(now=NOW, saturated="CPU 97 %, limit 85 %")
FREE = Situation(now=NOW)


def run(name: str = "a", **changes: Any) -> Run:
    """A run of nabiyam that is due."""
    values: dict[str, Any] = {
        "id": name,
        "kind": "learn",
        "state": "scheduled",
        "state_name": "Scheduled",
        "since": NOW - HOUR,
        "due": NOW,
        "created": NOW - HOUR,
        "next_try": NOW,
        "personas": frozenset({"nabiyam"}),
        "whom": "nabiyam",
    }
    return Run(**(values | changes))


def working(name: str = "w", **changes: Any) -> Run:
    return run(name, **({"state": "running", "state_name": "Running", "next_try": None, "alive": True} | changes))


def of(persona: str) -> dict[str, Any]:
    return {"personas": frozenset({persona}), "whom": persona}


def told(actions: list[Action]) -> list[tuple[str, str]]:
    """Kind of action and run, in order."""
    return [(type(action).__name__, action.run_id) for action in actions]


def only(actions: list[Action]) -> Any:
    assert len(actions) == 1, actions
    return actions[0]


# The machine


def test_a_free_machine_leaves_a_due_run_to_the_worker() -> None:
    assert decide([run()], FREE) == []


def test_a_saturated_machine_holds_a_due_run_with_the_figure_and_the_limit() -> None:
    hold = only(decide([run()], BUSY))
    assert hold == Hold("a", "AwaitingResources", NOW + HOLD_FOR, "CPU 97 %, limit 85 %")


def test_a_run_is_held_before_a_worker_takes_it_early_and_not_sooner() -> None:
    assert told(decide([run(next_try=NOW + LOOK_AHEAD)], BUSY)) == [("Hold", "a")]
    assert decide([run(next_try=NOW + LOOK_AHEAD + timedelta(seconds=1))], BUSY) == []


def test_a_held_run_is_left_alone_until_its_hold_runs_out() -> None:
    held = run(state_name="AwaitingResources", next_try=NOW + HOLD_FOR)
    assert decide([held], BUSY) == []
    assert told(decide([replace(held, next_try=NOW + timedelta(seconds=30))], BUSY)) == [("Hold", "a")]


def test_a_held_run_goes_on_by_itself_when_the_machine_is_free() -> None:
    release = only(decide([run(state_name="AwaitingResources", next_try=NOW + HOLD_FOR)], FREE))
    assert isinstance(release, Release)
    assert abs(release.at - NOW) < timedelta(seconds=1)


def test_a_control_loop_that_has_just_started_lets_nobody_go_that_waits_for_the_machine() -> None:
    held = run(state_name="AwaitingResources", next_try=NOW + HOLD_FOR)
    unwatched = Situation(now=NOW, watched=False)
    assert decide([held], unwatched) == []
    waits_for_a_run = replace(held, state_name="AwaitingPersona")
    assert told(decide([waits_for_a_run], unwatched)) == [("Release", "a")]


def test_a_run_that_its_own_look_put_back_is_not_let_go_at_once_by_a_loop_that_sees_no_load() -> None:
    put_back = run(
        state_name="AwaitingResources", since=NOW - timedelta(seconds=2), next_try=NOW + timedelta(seconds=58)
    )
    assert decide([put_back], FREE) == []
    assert told(decide([replace(put_back, next_try=NOW + timedelta(seconds=30))], BUSY)) == [("Hold", "a")]
    # The clock was set back a day since.
    put_back = replace(put_back, since=NOW + timedelta(days=1), next_try=NOW + timedelta(days=1, minutes=1))
    assert told(decide([put_back], FREE)) == [("Release", "a")]


def test_a_hold_from_before_the_clock_was_set_back_a_day_is_let_go() -> None:
    held = run(state_name="AwaitingResources", next_try=NOW + timedelta(days=1), due=NOW - HOUR)
    assert told(decide([held], FREE)) == [("Release", "a")]
    assert told(decide([held], BUSY)) == [("Hold", "a")]  # brought back to the time that the clock shows now


def test_upkeep_never_waits() -> None:
    """It deletes what people asked to be deleted."""
    assert decide([run(kind="upkeep")], replace(BUSY, max_waiting=1)) == []


@pytest.mark.parametrize(("free_gib", "waits"), [(9.0, True), (10.0, False), (None, False)])
def test_a_gpu_without_enough_free_memory_for_this_recipe_holds_the_run(free_gib: float | None, waits: bool) -> None:
    situation = Situation(now=NOW, gpu_free_bytes=None if free_gib is None else int(free_gib * 2**30))
    actions = decide([run(gpu_bytes=int(9.5 * 2**30))], situation)
    assert bool(actions) is waits
    if waits:
        assert only(actions).sentence == "GPU memory 9.0 GiB free, this training needs about 9.5 GiB"


# One run a persona


def test_a_run_waits_while_its_persona_is_being_taught_and_says_by_whom() -> None:
    busy = working("w", step="train", due=NOW - 6 * HOUR)
    hold = only(decide([busy, run()], FREE))
    assert hold.name == "AwaitingPersona"
    assert "nabiyam until 2026-06-30 21:00 UTC goes first (at train)" in hold.sentence


def test_another_persona_goes_on_beside_it() -> None:
    assert decide([working(), run("b", **of("hana"))], FREE) == []


def test_work_by_a_command_or_another_host_counts_too() -> None:
    elsewhere = Working("nabiyam", "somebody's run", "evaluate", NOW - HOUR, "host-b")
    hold = only(decide([run()], replace(FREE, working=(elsewhere,))))
    assert hold.sentence.startswith("nabiyam is being taught by somebody's run, at evaluate (on host-b since")


def test_its_own_lease_does_not_keep_a_run_waiting() -> None:
    own = Working("nabiyam", "a", "train", NOW, "here")
    assert decide([run(crashes=("train",))], replace(FREE, working=(own,))) == []


def test_of_two_due_runs_of_a_persona_one_goes_first() -> None:
    first, second = run("a", due=NOW - HOUR), run("b", due=NOW)
    for runs in permutations([first, second]):
        hold = only(decide(list(runs), FREE))
        assert (hold.run_id, hold.name) == ("b", "AwaitingPersona")


def test_a_run_for_everybody_waits_for_one_and_keeps_others_behind_it() -> None:
    everybody = run("all", personas=frozenset({"nabiyam", "hana"}), whom="every persona", due=NOW - HOUR)
    later = run("b", **of("hana"))
    actions = decide([working(), everybody, later], FREE)
    assert {(a.run_id, a.name) for a in actions if isinstance(a, Hold)} == {
        ("all", "AwaitingPersona"),
        ("b", "AwaitingPersona"),
    }


def test_the_queue_decides_who_goes_first_then_the_time() -> None:
    low, high = run("low", queue="low", due=NOW - 2 * HOUR), run("high", queue="high")
    assert told(decide([low, high], FREE)) == [("Hold", "low")]


def test_what_has_begun_goes_before_what_has_not() -> None:
    begun, high = run("begun", queue="low", crashes=("train",)), run("high", queue="high")
    assert told(decide([begun, high], FREE)) == [("Hold", "high")]


def test_several_that_waited_are_let_go_in_their_order() -> None:
    held = [
        run(name, state_name="AwaitingResources", next_try=NOW + HOLD_FOR, queue=queue, **of(name))
        for name, queue in (("x", "low"), ("y", "high"), ("z", "normal"))
    ]
    released = [action for action in decide(held, FREE) if isinstance(action, Release)]
    assert [action.run_id for action in sorted(released, key=lambda action: action.at)] == ["y", "z", "x"]


# Past windows


def past(hours: int, **changes: Any) -> Run:
    as_of = NOW - timedelta(days=9) + timedelta(hours=hours)
    return run(f"past-{hours}", **({"as_of": as_of, "backfilled": True, "queue": "low"} | changes))


def test_past_windows_of_a_persona_go_in_order() -> None:
    actions = decide([past(12), past(6), past(18)], FREE)
    assert {(a.run_id, a.name) for a in actions if isinstance(a, Hold)} == {
        ("past-12", "AwaitingEarlierWindow"),
        ("past-18", "AwaitingEarlierWindow"),
    }


def test_an_earlier_window_that_is_repeated_later_still_goes_first() -> None:
    """Neither a later window that was asked for before it nor one that has begun may block it: they wait for it."""
    repeated = past(6, created=NOW, due=NOW)
    for later in (past(12, created=NOW - HOUR, due=NOW - HOUR), past(12, crashes=("train",))):
        assert [(a.run_id, type(a)) for a in decide([later, repeated], FREE)] == [("past-12", Hold)]


def test_a_past_window_waits_until_the_one_before_has_ended() -> None:
    held = past(12, state_name="AwaitingEarlierWindow", next_try=NOW + HOLD_FOR)
    assert decide([past(6, state="running", state_name="Running", alive=True), held], FREE) == []
    assert decide([past(6, state="crashed", state_name="Crashed", since=NOW), held], FREE) == []
    assert told(decide([held], FREE)) == [("Release", "past-12")]


def test_past_windows_of_different_personas_do_not_wait_for_each_other() -> None:
    assert decide([past(6), past(12, **of("hana"))], FREE) == []


# What may wait at all


def scheduled_run(hours_late: int, **changes: Any) -> Run:
    due = NOW - hours_late * HOUR
    return run(
        f"late-{hours_late}",
        **({"due": due, "next_try": due, "by_schedule": True, "replaceable": True, "state_name": "Late"} | changes),
    )


def test_late_runs_after_downtime_collapse_into_the_newest() -> None:
    actions = decide([scheduled_run(hours) for hours in (18, 6, 12, 0)], FREE)
    assert {action.run_id for action in actions} == {"late-18", "late-12", "late-6"}
    assert {action.name for action in actions if isinstance(action, Cancel)} == {"Superseded"}
    assert "nabiyam until 2026-07-01 03:00 UTC" in actions[0].sentence


def test_the_schedules_future_and_what_has_begun_do_not_collapse() -> None:
    future = run("future", due=NOW + 6 * HOUR, next_try=NOW + 6 * HOUR, by_schedule=True, replaceable=True)
    begun = scheduled_run(12, crashes=("train",), **of("hana"))
    assert decide([future, begun, scheduled_run(0)], FREE) == []


def test_a_run_that_somebody_asked_for_never_gives_way_to_the_schedule() -> None:
    asked = run("asked", due=NOW - 12 * HOUR, **of("hana"))
    assert decide([asked, scheduled_run(0)], FREE) == []


def test_late_runs_of_different_personas_stay() -> None:
    assert decide([scheduled_run(6), scheduled_run(0, **of("hana"))], FREE) == []


def fifty(num: int = 50) -> list[Run]:
    return [
        run(f"r{i:02}", created=NOW - HOUR + timedelta(seconds=i), next_try=NOW + HOUR, **of(f"p{i}"))
        for i in range(num)
    ]


def test_fifty_may_wait_and_the_fifty_first_is_refused_with_what_waits() -> None:
    assert decide(fifty(), FREE) == []
    cancel = only(decide([*fifty(50), run("late", created=NOW, next_try=NOW + HOUR)], FREE))
    assert (cancel.run_id, cancel.name) == ("late", "QueueFull")
    assert cancel.sentence.startswith("50 runs wait already, the limit is 50: 1 p0 (normal), ")


def test_what_works_already_does_not_count_as_waiting() -> None:
    assert decide([*fifty(50), working(**of("w1")), working("x", **of("w2"))], FREE) == []


def test_the_schedules_future_does_not_fill_the_queue() -> None:
    future = [run(f"f{i}", due=NOW + i * HOUR, next_try=NOW + i * HOUR, by_schedule=True) for i in range(1, 100)]
    assert decide([*fifty(50), *future], FREE) == []
    assert len(waiting([*fifty(50), *future], FREE)) == 50


def test_a_crashed_run_that_goes_on_and_a_deletion_are_never_refused() -> None:
    begun = run("begun", created=NOW, crashes=("train",), next_try=NOW + HOUR, **of("x"))
    upkeep = run("upkeep", kind="upkeep", created=NOW, next_try=NOW + HOUR)
    cancelled = {a.run_id for a in decide([*fifty(50), begun, upkeep], FREE)}
    assert not cancelled & {"begun", "upkeep"}


def test_the_refusal_counts_what_waits_by_kind() -> None:
    line = [run(str(i), queue="low") for i in range(3)] + [run("x", whom="every persona")]
    assert "3 nabiyam (low), 1 every persona (normal)" in full(line, Situation(max_waiting=4))


# Crashes


def crashed(**changes: Any) -> Run:
    values: dict[str, Any] = {"state": "crashed", "state_name": "Crashed", "since": NOW - SETTLING, "next_try": None}
    return run(**(values | changes))


def test_a_run_whose_process_is_gone_is_declared_crashed() -> None:
    gone = only(decide([working(alive=False, step="train")], FREE))
    assert gone == DeclareCrashed("w", "its process is gone at train")


def test_a_run_whose_process_lives_is_left_alone_however_long_it_takes() -> None:
    assert decide([working(since=NOW - timedelta(days=2))], FREE) == []


@pytest.mark.parametrize(("state", "then"), [("pending", "Release"), ("running", "DeclareCrashed")])
def test_a_run_that_nobody_can_look_at_is_given_time_for_a_first_sign_of_life(state: Any, then: str) -> None:
    unseen = working(state=state, alive=None, since=NOW - NEVER_CAME + timedelta(seconds=1))
    assert decide([unseen], FREE) == []
    assert told(decide([replace(unseen, since=NOW - NEVER_CAME)], FREE)) == [(then, "w")]


def test_a_run_that_a_worker_took_and_has_no_process_on_the_only_host_waits_for_a_worker_again() -> None:
    taken = working(state="pending", alive=False, since=NOW - NOT_BEGUN + timedelta(seconds=1))
    assert decide([taken], FREE) == []
    assert told(decide([replace(taken, since=NOW - NOT_BEGUN)], FREE)) == [("Release", "w")]


def test_a_cancelled_run_without_a_process_ends() -> None:
    cancel = only(decide([working(state="cancelling", alive=False)], FREE))
    assert (type(cancel), cancel.name) == (Cancel, "Cancelled")


def test_a_crashed_run_goes_on_once_the_worker_has_said_so_twice() -> None:
    early = crashed(since=NOW - SETTLING + timedelta(seconds=1), step="train")
    assert decide([early], FREE) == []
    resume = only(decide([crashed(step="train")], FREE))
    assert resume == Resume("a", NOW - SETTLING, "train", "killed at train; goes on from there (crash 1 of at most 3)")


def test_a_crashed_run_whose_process_still_lives_is_not_started_a_second_time() -> None:
    assert decide([crashed(alive=True)], FREE) == []


def test_a_run_that_was_reported_dead_too_late_is_at_work_again() -> None:
    """On a busy machine a worker's second word came 50 s after the first: the run was at work again by then."""
    assert told(decide([crashed(alive=True, step="train", crashes=("train",))], FREE)) == [("Revive", "a")]


def test_a_crashed_run_of_a_command_is_nobodys_to_start() -> None:
    assert decide([crashed(deployed=False)], FREE) == []
    gone = only(decide([working(alive=False, deployed=False)], FREE))
    assert gone.sentence.endswith("It was started by hand: start it again")


def test_after_three_crashes_at_the_same_step_it_stops_and_says_which() -> None:
    for num in range(MAX_CRASHES - 1):
        assert isinstance(only(decide([crashed(step="train", crashes=("train",) * num)], FREE)), Resume)
    stop = only(decide([crashed(step="train", crashes=("train",) * (MAX_CRASHES - 1))], FREE))
    assert isinstance(stop, GiveUp)
    assert stop.sentence.startswith("stopped: its process died 3 times at train.")
    assert (stop.personas, stop.as_of) == (frozenset({"nabiyam"}), NOW)


def test_who_is_given_up_has_windows_only_where_it_learns() -> None:
    stop = only(decide([crashed(kind="upkeep", step="tell", crashes=("tell",) * (MAX_CRASHES - 1))], FREE))
    assert isinstance(stop, GiveUp)
    assert stop.personas == frozenset()


def test_crashes_at_different_steps_do_not_add_up() -> None:
    steps = ("train", "train", "snapshot", "snapshot")
    assert isinstance(only(decide([crashed(step="evaluate", crashes=steps)], FREE)), Resume)


def test_a_crash_after_the_clock_was_set_back_a_day_is_still_seen() -> None:
    assert told(decide([crashed(since=NOW + timedelta(days=1))], FREE)) == [("Resume", "a")]


def test_a_crashed_run_keeps_its_persona_from_others_until_it_goes_on() -> None:
    actions = decide([crashed(since=NOW), run("b", queue="high")], FREE)
    assert [(a.run_id, a.name) for a in actions if isinstance(a, Hold)] == [("b", "AwaitingPersona")]


# A planned stop


def test_what_a_planned_stop_broke_off_goes_on_and_no_crash_counts_however_often() -> None:
    stopped = crashed(step="train", crashes=("train",) * (MAX_CRASHES - 1), stopped=True)
    assert only(decide([stopped], FREE)) == HandBack("a", "the platform was stopped at train; goes on from there")
    assert decide([replace(stopped, since=NOW)], FREE) == [], "the worker may report its end a second time"
    again = replace(stopped, stopped=False, handed_back=True)
    assert told(decide([again], FREE)) == [("GiveUp", "a")], "the next death is one of its own"


@pytest.mark.parametrize("told_by", ["stopped", "handed_back"])
def test_what_was_stopped_has_begun_and_is_neither_refused_nor_replaced_by_a_later_one(told_by: str) -> None:
    begun = scheduled_run(12, **{told_by: True})
    assert not [a for a in decide([begun, scheduled_run(6)], replace(FREE, max_waiting=1)) if a.run_id == begun.id]


# All together


def test_deciding_twice_decides_nothing_new() -> None:
    """What is decided, once carried out, leads to rest: no run is moved about for ever."""
    runs = [scheduled_run(h) for h in (12, 6, 0)] + [past(6), past(12), working(**of("hana")), run("b", **of("hana"))]
    for situation in (FREE, BUSY):
        after = [done for one in runs if (done := _after(one, decide(runs, situation)))]
        assert decide(after, situation) == []


def _after(one: Run, actions: list[Action]) -> Run | None:
    """The run as it is once the actions are carried out; None when it has ended."""
    for action in actions:
        if action.run_id != one.id:
            continue
        if isinstance(action, Cancel):
            return None
        assert isinstance(action, Hold)
        return replace(one, state_name=action.name, next_try=action.until)
    return one


# People's votes


def asking(name: str = "p", **changes: Any) -> Run:
    """A run that is suspended until people have voted."""
    state = {"state": "paused", "state_name": "AwaitingVotes", "next_try": None, "asked_people": True}
    return run(name, **(state | changes))


def test_a_run_that_people_are_asked_about_sleeps_until_they_have_voted() -> None:
    assert decide([asking()], FREE) == []
    action = only(decide([asking(voted=True)], FREE))
    assert (type(action), action.at, action.sentence) == (Release, NOW, "people have voted")


def test_a_run_that_nobody_votes_on_looks_now_and_then_whether_its_time_is_over() -> None:
    action = only(decide([asking(since=NOW - LOOK_AGAIN)], FREE))
    assert isinstance(action, Release)


def test_a_run_that_somebody_paused_in_the_pages_stays_paused() -> None:
    assert decide([asking(state_name="Paused", voted=True)], FREE) == []


def test_a_sleeping_run_keeps_no_other_from_its_persona() -> None:
    assert decide([asking(), run("b")], FREE) == []


def test_a_run_that_asked_people_is_not_replaced_by_a_later_one_of_the_schedule() -> None:
    old = run("old", replaceable=True, by_schedule=True, due=NOW - 7 * HOUR)
    new = run("new", replaceable=True, by_schedule=True, due=NOW - HOUR)
    assert ("Cancel", "old") in told(decide([old, new], FREE))
    woken = replace(old, asked_people=True)
    assert ("Cancel", "old") not in told(decide([woken, new], FREE))
