"""What a server on a network meets: no token, wrong shapes, too much of everything. Never a 5xx or a stack trace."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from made_examples import examples
from schemathesis.checks import not_a_server_error
from served_home import Served

from nabi.server.access import Access, NoAccess, NotAllowed, TooMany

OPEN = {"/healthz", "/readyz"}
VOTES = {"/v1/votes"}
"""These ask for the ticket of a link instead."""
ASK = {"model": "bare", "messages": [{"role": "user", "content": "라면"}], "max_tokens": 4}


@pytest.fixture
def http(served: Served) -> httpx.Client:
    return httpx.Client(base_url=served.url, headers=served.headers("operator"), timeout=60)


def _schema(served: Served) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(f"{served.url}/openapi.json", headers=served.headers(), timeout=60).json()
    return found


def test_every_route_but_health_asks_for_a_token(served: Served) -> None:
    seen = 0
    for path, methods in _schema(served)["paths"].items():
        for method in methods:
            filled = path.replace("{", "").replace("}", "")
            for headers in ({}, {"Authorization": "Bearer nabi-wrong"}, {"Authorization": served.token("operator")}):
                answer = httpx.request(method, served.url + filled, headers=headers, json={}, timeout=60)
                assert answer.status_code == (200 if path in OPEN else 401), (method, path)
            seen += 1
    assert seen > 5


def test_the_description_says_which_token_a_route_needs(served: Served) -> None:
    described = _schema(served)
    assert described["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    needed = {
        (method, path): [scope for one in route.get("security", []) for scope in one["token"]]
        for path, methods in described["paths"].items()
        for method, route in methods.items()
    }
    assert needed["post", "/v1/chat/completions"] == ["chat"]
    assert needed["post", "/v1/personas/{persona_id}/rollback"] == ["operator"]
    assert {path for (_, path), scopes in needed.items() if not scopes} == OPEN | VOTES


def test_the_operators_routes_refuse_a_chat_token(served: Served) -> None:
    for path in ("/metrics", "/v1/live"):
        for scope, status in (("chat", 403), ("operator", 200)):
            assert httpx.get(served.url + path, headers=served.headers(scope), timeout=60).status_code == status


def test_tokens_are_files_that_only_the_owner_reads(served: Served) -> None:
    for scope in ("chat", "operator"):
        path = served.platform.settings.state / "secrets" / f"{scope}.token"
        assert path.stat().st_mode & 0o077 == 0
        assert len(served.token(scope)) > 40
    assert served.token("chat") != served.token("operator")


def test_a_token_may_ask_only_so_often(served: Served) -> None:
    now = [0.0]
    access = Access(served.platform.settings.state / "secrets", per_minute=2, clock=lambda: now[0])
    bearer = f"Bearer {served.token('chat')}"
    for _ in range(2):
        assert access.check(bearer, "chat").scope == "chat"
    with pytest.raises(TooMany, match="Ask again in 31 s") as error:
        access.check(bearer, "chat")
    assert error.value.retry_after_s == 31
    now[0] += 31
    access.check(bearer, "chat")
    with pytest.raises(NotAllowed):
        access.check(bearer, "operator")
    with pytest.raises(NoAccess):
        access.check(None, "chat")


@pytest.mark.parametrize(
    "change",
    [
        {"model": "../../etc/passwd"},
        {"model": "nabiyam--v1/../../x"},
        {"model": "bare\0"},
        {"model": "가" * 201},
        {"model": ""},
        {"model": ["bare"]},
        {"messages": []},
        {"messages": [{"role": "user", "content": "a\0b"}]},
        {"messages": [{"role": "user", "content": " \n"}]},
        {"messages": [{"role": "assistant", "content": "네"}]},
        {"messages": [{"role": "tool", "content": "네"}]},
        {"messages": [{"role": "user", "content": "가" * 20_001}]},
        {"messages": [{"role": "user", "content": "안녕"}] * 201},
        {"max_tokens": 0},
        {"max_tokens": 10**400},
        {"temperature": -0.1},
        {"top_p": 0},
        {"n": 2},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"stop": ""},
        {"seed": 2**63},
        {"stream": "perhaps"},
        {"facts": [{"가게": 1}]},
        {"facts": {"가게": "봄분식"}},
        {"user": ""},
        {"logprobs": True},
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_what_makes_no_sense_is_the_callers_fault(http: httpx.Client, change: dict[str, Any]) -> None:
    answer = http.post("/v1/chat/completions", json=ASK | change)
    assert answer.status_code in (400, 404), answer.text
    error = answer.json()["error"]
    assert error["message"]
    assert error["type"] == "invalid_request_error"
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1, 2]",
        b"\xff\xfe\x00",
        b'{"model": NaN}',
        b'{"model": "\\ud800", "messages": [{"role": "user", "content": "a"}]}',
        b'{"model": "bare", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"\\ud800": 1, "temperature": NaN}',
        b"[" * 100_000,
        b'{"model": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_bodies_that_are_no_request_are_refused(http: httpx.Client, body: bytes) -> None:
    answer = http.post("/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.json()["error"]["message"]


def test_ten_megabytes_are_refused_announced_or_not(http: httpx.Client) -> None:
    big = b'{"model": "' + b"a" * 10_000_000 + b'"}'
    announced = http.post("/v1/chat/completions", content=big)
    assert announced.status_code == 413

    def in_pieces() -> Any:
        for start in range(0, len(big), 65_536):
            yield big[start : start + 65_536]

    # The server may hang up in the middle: that is a refusal as well.
    with contextlib.suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        assert http.post("/v1/chat/completions", content=in_pieces()).status_code == 413
    assert http.post("/v1/chat/completions", json=ASK).status_code == 200


def test_names_like_paths_lead_nowhere(http: httpx.Client) -> None:
    for name in ("..%2f..%2fetc%2fpasswd", "%00", "a" * 5000, "%ff", "nabiyam--v1%2f..", "..;/"):
        assert 400 <= http.get(f"/v1/models/{name}").status_code < 500


def test_schemathesis_finds_no_server_error(served: Served) -> None:
    schema = schemathesis.openapi.from_dict(_schema(served))
    headers = served.headers("operator")
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(examples(15), suppress_health_check=list(HealthCheck))
        def check(case: Any) -> None:
            response = case.call(base_url=served.url, headers=headers)
            case.validate_response(response, checks=[not_a_server_error])

        check()
