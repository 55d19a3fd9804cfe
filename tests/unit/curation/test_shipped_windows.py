"""Curation must not change the shipped example, nor refuse a dialogue that the catalogue makes."""

from __future__ import annotations

from pathlib import Path

from nabi.catalogue.dialogues import make_dialogues
from nabi.catalogue.workbook import read_workbook
from nabi.conversations.records import Conversation
from nabi.curation.chain import curate, recheck
from nabi.personas.model import Persona

ROOT = Path(__file__).parents[3]
USABLE = {1: 12, 2: 25, 3: 70, 4: 398}


def test_the_four_windows_keep_their_usable_conversations(
    windows: dict[int, list[Conversation]], nabiyam: Persona
) -> None:
    learned: list[Conversation] = []
    for number, rows in windows.items():
        kept = curate(rows, nabiyam, learned=learned).kept
        assert len(kept) == USABLE[number]
        learned += kept
    assert recheck(learned, nabiyam).counts == {"kept": sum(USABLE.values())}


def test_the_windows_are_usable_too_while_nothing_is_deployed(
    windows: dict[int, list[Conversation]], nabiyam: Persona
) -> None:
    everything = [row for rows in windows.values() for row in rows]
    assert curate(everything, nabiyam).counts["kept"] == sum(USABLE.values())


def test_catalogue_dialogues_are_never_refused(nabiyam: Persona) -> None:
    catalogue = read_workbook(ROOT / "sample_data.xlsx").catalogue
    dialogues = make_dialogues(catalogue, nabiyam.id, 1_500, 20260701, 8000, refused=0.05)
    assert curate(dialogues, nabiyam).refused == ()
    assert curate(dialogues, nabiyam, learned=dialogues).refused == ()
