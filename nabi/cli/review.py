"""`nabi review`: what was set apart, and what a person decides about it."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nabi.cli.output import AsJson, console, show

if TYPE_CHECKING:
    from nabi.evaluation.preference import Pair, Side
    from nabi.steps.review import Reviewed

app = typer.Typer(no_args_is_help=True, help="What was refused or set apart, with its reason.")

Numbers = Annotated[list[int], typer.Argument(help="numbers as `nabi review list` shows them")]


@app.command("list")
def list_set_apart(
    persona: Annotated[str, typer.Argument(help="persona id")],
    reason: Annotated[str | None, typer.Option(help="only this reason")] = None,
    num: Annotated[int, typer.Option(help="how many, newest first", min=1)] = 50,
    everything: Annotated[bool, typer.Option("--all", help="also what was decided already")] = False,
    as_json: AsJson = False,
) -> None:
    """What waits for a decision. Nothing of it is learned from meanwhile."""
    from nabi.wiring import get_platform

    platform = get_platform()
    platform.persona(persona)
    found = platform.store.list_set_apart(persona, num=num, reason=reason, only_undecided=not everything)
    rows = [
        {
            "number": item.id,
            "reason": item.reason,
            "detail": item.detail,
            "conversation": item.conversation_id,
            "source": item.source,
            "since": item.set_apart_at,
            **({"decision": item.decision, "by": item.decided_by} if everything else {}),
        }
        for item in found
    ]
    show(rows, as_json=as_json, title=f"Set apart, {persona}", empty=f"Nothing of {persona} waits for a decision.")


@app.command("show")
def show_one(
    number: Annotated[int, typer.Argument(help="a number as `nabi review list` shows it")], as_json: AsJson = False
) -> None:
    """One of them as it was said or delivered."""
    from nabi.steps.review import look
    from nabi.wiring import get_platform

    reviewed = look(get_platform(), number)
    if as_json:
        console.print_json(data=_as_data(reviewed))
        return
    item = reviewed.item
    console.print(f"[bold]{item.reason}[/] {item.detail}", markup=True)
    console.print(f"{item.source}, set apart {item.set_apart_at:%Y-%m-%d %H:%M} UTC, persona {item.persona_id or '?'}")
    if item.decision:
        console.print(f"{item.decision} by {item.decided_by}, {item.decided_at:%Y-%m-%d %H:%M} UTC")
    for message in reviewed.conversation.messages if reviewed.conversation else ():
        console.print(f"  {message.role}: {message.content}", markup=False)
    if item.raw:
        console.print(item.raw, markup=False)


@app.command()
def release(numbers: Numbers) -> None:
    """Lets them pass the filter that set them apart, from the next run on. A missing consent cannot be overruled."""
    from nabi.steps.review import release as release_them
    from nabi.wiring import get_platform

    for reviewed in release_them(get_platform(), numbers, who=getpass.getuser()):
        item = reviewed.item
        console.print(f"{item.id} is released: {item.reason} no longer keeps {item.conversation_id} out")


@app.command()
def drop(numbers: Numbers) -> None:
    """Removes their words, here and from every dataset they were in; they are never considered again."""
    from nabi.steps.review import drop as drop_them
    from nabi.wiring import get_platform

    for reviewed in drop_them(get_platform(), numbers, who=getpass.getuser()):
        console.print(f"{reviewed.item.id} is dropped ({reviewed.item.reason})")


@app.command("ab")
def vote_blind(
    persona: Annotated[str, typer.Argument(help="persona id")],
    adapter: Annotated[str | None, typer.Option(help="a version such as v3; default: the newest evaluated")] = None,
    num: Annotated[int, typer.Option(help="prompts of the blind set", min=20, max=50)] = 30,
    only_result: Annotated[bool, typer.Option("--result", help="only what the votes so far say")] = False,
    as_json: AsJson = False,
) -> None:
    """Shows two answers, not whose they are, and asks which is better. What is answered is not asked again."""
    from nabi.evaluation.preference import Vote
    from nabi.steps.blind import agreement_so_far, cast, open_set, read_votes, result
    from nabi.wiring import get_platform

    platform = get_platform()
    asked = open_set(platform, persona, adapter, num)
    who = getpass.getuser()
    done = {vote.sample_id for vote in read_votes(asked.votes_file) if vote.who == who}
    waiting = [] if only_result else [pair for pair in asked.pairs if pair.sample_id not in done]
    for number, pair in enumerate(waiting, 1):
        side = _ask_side(number, len(waiting), asked.samples[pair.sample_id].question, pair)
        if side is None:
            break
        vote = Vote(sample_id=pair.sample_id, who=who, choice=pair.choice_of(side), at=datetime.now(UTC))
        cast(platform, asked, vote)
    found, agreed = result(platform, asked), agreement_so_far(platform, persona)
    if as_json:
        figures = found.figures() | agreed.figures()
        console.print_json(data={"old": asked.old, "new": asked.new, "prompts": len(asked.pairs), **figures})
        return
    if agreed.share is not None:
        console.print(
            f"the judge decided as people did in {agreed.share:.0%} of {agreed.num} votes on {persona} so far"
        )
    if found.share is None:
        console.print(f"{found.num_votes} votes, none of them decided: nothing can be said about {asked.new} yet.")
        return
    console.print(
        f"{found.num_votes} votes ({found.num_ties} ties): {asked.new} is preferred to {asked.old} in "
        f"{found.share:.0%}, 95 % interval {found.lower * 100:.0f}…{found.upper * 100:.0f} %"
    )


def _ask_side(number: int, num: int, question: str, pair: Pair) -> Side | None:
    """The side a person chose; None to stop."""
    sides: dict[str, Side] = {"1": "left", "2": "right", "=": "tie"}
    console.rule(f"{number} of {num}")
    console.print(question, markup=False)
    console.print(f"  1  {pair.left}", markup=False)
    console.print(f"  2  {pair.right}", markup=False)
    while True:
        typed = typer.prompt("better: 1, 2, = for neither, q to stop").strip().lower()
        if typed == "q":
            return None
        if typed in sides:
            return sides[typed]


@app.command()
def invite(
    persona: Annotated[str, typer.Argument(help="persona id")],
    names: Annotated[list[str], typer.Argument(help="who votes; a link for each")],
    adapter: Annotated[str | None, typer.Option(help="a version such as v3; default: the newest evaluated")] = None,
    num: Annotated[int | None, typer.Option(help="prompts; default: the persona's votes", min=20, max=50)] = None,
    at: Annotated[str | None, typer.Option(help="where links lead; default: the chat server of this machine")] = None,
) -> None:
    """Links to a page on which people vote, blind, as `nabi review ab` asks here; each is for one person."""
    from nabi.steps.blind import open_set
    from nabi.steps.invitations import invite as ticket_for
    from nabi.wiring import get_platform

    platform = get_platform()
    num = num or platform.persona(persona).evaluation.people.votes
    asked = open_set(platform, persona, adapter, num)
    page = f"{(at or f'http://127.0.0.1:{platform.settings.serve_port}').rstrip('/')}/vote"
    for who in names:
        # The ticket stands behind #, which browsers send to nobody. Unbroken lines: they are copied from here.
        ticket = ticket_for(platform, asked, persona, num, who)
        console.print(f"{who}  {page}#{ticket}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def bad(
    conversation: Annotated[str, typer.Argument(help="a conversation's id, e.g. chat/chatcmpl-…")],
) -> None:
    """Marks its last answer as one that must not be given again: a negative example of the next training."""
    from nabi.steps.review import mark_bad
    from nabi.wiring import get_platform

    mark_bad(get_platform(), conversation)
    console.print(f"the last answer of {conversation} is marked bad")


@app.command()
def correct(
    conversation: Annotated[str, typer.Argument(help="a conversation's id, e.g. chat/chatcmpl-…")],
    answer: Annotated[str, typer.Argument(help="what should have been said")],
) -> None:
    """Writes a better answer: it takes the last one's place, and the next training learns that it is better."""
    from nabi.steps.review import correct as correct_it
    from nabi.wiring import get_platform

    correct_it(get_platform(), conversation, answer, who=getpass.getuser())
    console.print(f"the last answer of {conversation} is replaced; the old one is kept as a bad answer")


def _as_data(reviewed: Reviewed) -> dict[str, Any]:
    item = reviewed.item
    return {
        "number": item.id,
        "persona": item.persona_id,
        "source": item.source,
        "reason": item.reason,
        "detail": item.detail,
        "set_apart_at": item.set_apart_at.isoformat() if item.set_apart_at else None,
        "decision": item.decision,
        "decided_by": item.decided_by,
        "decided_at": item.decided_at.isoformat() if item.decided_at else None,
        "conversation": reviewed.conversation.model_dump(mode="json") if reviewed.conversation else None,
        "raw": item.raw,
    }
