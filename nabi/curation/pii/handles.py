"""Ids, nicknames, @handles and passwords: what stands after the word that announces it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from nabi.curation.pii.family import Family, Span

_LATIN = r"[A-Za-z0-9][A-Za-z0-9_.\-]{1,29}(?:#[0-9]{3,5})?(?<![.\-])"
_HANGUL = r"[가-힣A-Za-z0-9_]{2,12}?"
_PARTICLE = r"(?:은|는|이|가|을|를|도|:|=|→|에)?"
_IS = (
    r"(?:이에요|예요|에요|입니다|라고|이고|고요|구요|인데|이요|으로|(?:야|요|임|래|로|랑|라|맞|한테|"
    r"님|탈퇴|삭제)(?![가-힣]))"
)
"""What follows a nickname. An 이 that may belong to either goes with the nickname: 곰돌이라고."""

_END = rf"(?=['\"”’)]|{_IS}(?![가-힣]{{3}})|[ ,.!?~\n]|$)"

_APPS = (
    "카카오톡|카톡|인스타그램|인스타|텔레그램|텔레|라인|디스코드|디코|트위터|페이스북|페북|유튜브|"
    "틱톡|위챗|스냅챗|네이버|구글|게임|로블록스|배그|롤|마크|학교 ?포털|로그인|회원|커뮤니티"
)
_ID_WORDS = r"아이디|(?<![A-Za-z])ID(?![A-Za-z])|(?<![A-Za-z])id(?![A-Za-z])|계정"
_NICK_WORDS = r"닉네임|닉넴|닉|별명|활동명|필명"

_LATIN_ID: Final = re.compile(
    rf"(?:(?:(?:{_APPS}) ?)?(?:{_ID_WORDS}|{_NICK_WORDS}) ?(?:{_ID_WORDS})?{_PARTICLE}|(?:{_APPS}){_PARTICLE})[ "
    rf"]{{0,2}}['\"“‘(]?@?({_LATIN})(?![A-Za-z0-9@])"
)
_HANGUL_NICK: Final = re.compile(
    rf"(?:{_NICK_WORDS}|아이디){_PARTICLE}[ ]{{0,2}}['\"“‘(]?(?<=[ '\"“‘(:=])({_HANGUL})['\"”’)]?{_END}"
)
_HANDLE: Final = re.compile(
    r"(?<![A-Za-z0-9._%+\-가-힣])@(?=[0-9_.]*[A-Za-z가-힣])([A-Za-z0-9_.]{2,30}(?<!\.)|[가-힣A-Za-z0-9_.]{2,20})"
)
_LINK: Final = re.compile(
    r"(?:t\.me|instagram\.com|facebook\.com|twitter\.com|x\.com|tiktok\.com|youtube\.com|open\.kakao\.com/o|"
    r"pf\.kakao\.com)/(@?[A-Za-z0-9_.\-]{3,40})"
)
_PASSWORD: Final = re.compile(
    r"(?:비밀 ?번호|비번|패스워드|암호|[Pp]assword|PASSWORD|(?<![A-Za-z])(?:pw|PW)(?![A-Za-z]))(?:은|는|이|"
    r"가)?[ :=]{1,3}['\"]?"
    r"((?=[^ ]*[0-9!@#$%^&*])[A-Za-z0-9!@#$%^&*_.\-]{4,30})"
)

_COMMON: Final = re.compile(
    r"(?:dm|id|pc|qr|app|url|live|api|ai|sns|vip|event|pay|story|reels|bot|tv|no|on|off|ver|lite|sk|kt|lg|pw|"
    r"(?=[0-9.\-]{1,9}$)[0-9.\-]*|[0-9]+[월일시분번개명살층원])$",
    re.IGNORECASE,
)
_ASKING: Final = re.compile(
    "(?:뭐|뭔|무엇|어떻|어떤|어디|없|있|모르|몰라|바꾸|바꿔|까먹|잊|찾|만들|변경|삭제|탈퇴|추가|입력|등록|확인|"
    "기억|다르|틀|같|안|못|왜|좀|제가|내가|비밀|비번|중복|사용|로그인|"
    "이거|그거|저거|하나|둘|그대로|새로|다시|정해|정하|지어|설정|공유|알려|보내|적|쓰|써|로 |으로 |아니|맞|"
    "예뻐|귀여|웃|나중|필요|때문|대신|생성|개수|수정|목록|"
    "이름|길이|글자|규칙|기준)"
)


def _find_ids(text: str) -> Iterator[Span]:
    for match in _HANDLE.finditer(text):
        yield Span("아이디", match.start(), match.end(1))
    for match in _LINK.finditer(text):
        yield Span("아이디", match.start(1), match.end(1))
    announced = _nick_hint(text)
    for match in _LATIN_ID.finditer(text):
        if (announced or _has_latin(match[1])) and not _COMMON.match(match[1]):
            yield Span("아이디", match.start(1), match.end(1))
    for match in _HANGUL_NICK.finditer(text):
        if not _ASKING.match(match[1]) and not _COMMON.match(match[1]):
            yield Span("아이디", match.start(1), match.end(1))


def _find_passwords(text: str) -> Iterator[Span]:
    for match in _PASSWORD.finditer(text):
        yield Span("비밀번호", match.start(1), match.end(1))


_has_latin = re.compile("[A-Za-z_]").search
_nick_hint = re.compile("@|닉|별명|활동명|필명|아이디|t\\.me/|\\.com/").search
_app_hint = re.compile(f"{_APPS.replace('학교 ?포털', '포털')}|ID|id|계정").search
_password_hint = re.compile("비밀|비번|패스|암호|password|Password|PASSWORD|pw|PW").search


def _id_trigger(text: str) -> object:
    """A word for a nickname, or a word for an account with something Latin in the text."""
    return _nick_hint(text) or (_has_latin(text) and _app_hint(text))


IDS: Final = Family("아이디", _id_trigger, _find_ids)
PASSWORDS: Final = Family("비밀번호", _password_hint, _find_passwords)
