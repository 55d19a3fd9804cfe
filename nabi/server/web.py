"""The pages that people open in a browser, and their parts: the same for everybody, and open to everybody.

What they show they ask the server for, with a token or a link's ticket, which leave the browser only as a header.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, Response

router = APIRouter()

_KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
_PARTS = {"/page.css": "page.css", "/page.js": "page.js"} | {
    f"/{page}{ending}": f"{page}{ending or '.html'}"
    for page in ("vote", "console", "docs")
    for ending in ("", ".css", ".js")
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def _serve(path: str, name: str) -> None:
    def part() -> Response:
        kind = f"{_KINDS[name.rpartition('.')[2]]}; charset=utf-8"
        return Response(files("nabi.server").joinpath("pages", name).read_bytes(), media_type=kind, headers=_HEADERS)

    router.add_api_route(path, part, include_in_schema=False)


for _path, _name in _PARTS.items():
    _serve(_path, _name)
