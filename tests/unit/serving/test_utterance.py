from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nabi.serving.utterance import Utterance


def _decode(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def _speak(text: str, stops: tuple[str, ...] = ()) -> tuple[str, list[str]]:
    utterance, pieces = Utterance(_decode, stops), []
    for byte in text.encode():
        utterance.add(byte)
        pieces.append(utterance.news())
        if utterance.stopped:
            break
    pieces.append(utterance.news(ended=True))
    return utterance.text, [piece for piece in pieces if piece]


def test_a_character_is_told_when_all_its_bytes_are_there() -> None:
    assert _speak("네, 😊") == ("네, 😊", ["네", ",", " 😊"])


def test_blanks_around_the_answer_are_no_part_of_it() -> None:
    assert _speak("  가 나 \n") == ("가 나", ["가", " 나"])


def test_what_may_become_a_stop_is_held_back_until_it_is_none() -> None:
    assert _speak("ab--c--->d", ("--->",)) == ("ab--c", ["a", "b", "--c"])
    assert _speak("ab--", ("--->",)) == ("ab--", ["a", "b", "--"])


def test_a_stop_may_begin_with_the_blank_that_opens_the_answer() -> None:
    assert _speak(" 00", (" 00",)) == ("", [])


def test_the_first_of_several_stops_ends_it() -> None:
    assert _speak("하나 둘 셋", ("셋", "둘"))[0] == "하나"


@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=4), max_size=3))
def test_the_pieces_always_add_up_to_the_answer(text: str, stops: list[str]) -> None:
    said, pieces = _speak(text, tuple(stops))
    assert "".join(pieces) == said
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    assert said == (text[: min(places)] if places else text).strip()
