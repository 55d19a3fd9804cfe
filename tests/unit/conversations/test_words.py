from __future__ import annotations

import json

import pytest

from nabi.conversations.words import Words

SAID = '저는 "하나"예요\n둘째 줄'


@pytest.mark.parametrize(
    "written",
    [SAID, json.dumps({"said": SAID}, ensure_ascii=False), json.dumps([SAID]), f"ERROR {SAID} at line 3"],
)
def test_words_are_found_in_every_form_and_blanked_to_the_same_length(written: str) -> None:
    words, content = Words([SAID]), written.encode()
    blanked = words.blanked(content)
    assert words.count(content) == 1
    assert len(blanked) == len(content)
    assert words.count(blanked) == 0
    assert "하나".encode() not in blanked
    assert json.dumps("하나")[1:-1].encode() not in blanked


def test_a_blanked_json_is_still_json() -> None:
    blanked = Words([SAID]).blanked(json.dumps({"said": SAID, "kept": "여느 말"}, ensure_ascii=False).encode())
    assert json.loads(blanked)["kept"] == "여느 말"


def test_short_texts_are_everybodys() -> None:
    words = Words(["네", "안녕하세요", "  "])
    assert words.blanked("네, 안녕하세요".encode()) == "네, 안녕하세요".encode()
    assert words.count("네".encode()) == 0


def test_a_longer_text_leaves_no_rest_beside_a_shorter_one_it_begins_with() -> None:
    words = Words(["우리 집은 어디에", "우리 집은 어디에 있냐면 비밀"])
    assert "비밀".encode() not in words.blanked("우리 집은 어디에 있냐면 비밀".encode())
