"""Writes the tree of the README: every module with the first sentence of its docstring.

.venv/bin/python scripts/make_tree.py          # rewrites README.md and README.ko.md between the markers
.venv/bin/python scripts/make_tree.py --check  # fails when one of them is behind
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ("flows", "tasks", "nabi")
READMES = ("README.md", "README.ko.md")
BEGIN, END = "<!-- tree -->", "<!-- /tree -->"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    behind = [name for name in READMES if not _update(ROOT / name, write=not check)]
    if check and behind:
        print(f"the tree in {', '.join(behind)} is behind: run scripts/make_tree.py")
        return 1
    return 0


def _update(readme: Path, *, write: bool) -> bool:
    """True when the file's tree was current already."""
    text = readme.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    current = f"{before}{BEGIN}\n```\n{tree()}```\n{END}{after}"
    if write:
        readme.write_text(current, encoding="utf-8")
    return current == text


def tree() -> str:
    """The three floors, one line a module."""
    return "".join(_folder(ROOT / floor, depth=0) for floor in FLOORS)


def _folder(folder: Path, depth: int) -> str:
    modules = sorted(p for p in folder.glob("*.py") if p.name not in ("__init__.py", "__main__.py"))
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and any(p.glob("*.py")) and p.name != "versions")
    lines = [f"{'  ' * depth}{folder.name}/\n"]
    lines += [_line(module, depth + 1) for module in modules]
    return "".join(lines) + "".join(_folder(inner, depth + 1) for inner in folders)


def _line(module: Path, depth: int) -> str:
    name = f"{'  ' * depth}{module.name}"
    return f"{name:34} {_phrase(module)}\n".rstrip() + "\n"


def _phrase(module: Path) -> str:
    """The first sentence of the module's docstring, without its full stop."""
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    sentence = " ".join(docstring.split("\n\n")[0].split())
    head, stop, _ = sentence.partition(". ")
    return (head if stop else sentence).rstrip(".")


if __name__ == "__main__":
    sys.exit(main())
