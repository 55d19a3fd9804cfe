"""Makes .venv with the versions of requirements.lock, and nabi itself from this folder.

pip fetches uv, and uv does the rest: it unpacks side by side what pip unpacks one after the other. uv reads no pip
configuration, so what pip was told about indexes, proxies and certificates is handed on to it.

python3 scripts/setup.py  # `make setup` calls it when requirements.lock or pyproject.toml are newer than .venv
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements.lock"
OLDEST, TOO_NEW = (3, 11), (3, 13)

# What pip calls it, what uv calls it, and what stands between several values there.
_SETTINGS = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("no-index", "UV_NO_INDEX", " "),
    ("constraint", "UV_CONSTRAINT", " "),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("proxy", "ALL_PROXY", " "),
)


def main() -> None:
    if not OLDEST <= sys.version_info < TOO_NEW:
        sys.exit("nabi needs Python 3.11 or 3.12; call: make PYTHON=/path/to/python3.11")
    home = ROOT / ".venv"
    print("setting up .venv (about 2 GB) …", flush=True)
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", f"uv=={locked_version(LOCK.read_text(), 'uv')}"], check=True)
    told = subprocess.run([*pip, "config", "list"], check=True, capture_output=True, text=True).stdout
    install = [str(home / "bin" / "uv"), "pip", "install", "--python", str(python), "--quiet"]
    subprocess.run([*install, "-r", str(LOCK), "--editable", str(ROOT)], check=True, env=uv_environment(told))


def locked_version(lock: str, package: str) -> str:
    """The version that the lock file pins a package to."""
    found = re.search(rf"^{re.escape(package)}==(\S+)$", lock, re.MULTILINE)
    if found is None:
        sys.exit(f"requirements.lock names no version of {package}")
    return found[1]


def uv_environment(told: str) -> dict[str, str]:
    """This process's environment with pip's settings in uv's words; what uv itself was told stands.

    Args:
        told: what `pip config list` prints: lines such as `global.index-url='https://example.org/simple'`.
    """
    settings: dict[str, str] = {}
    # As in pip, what is said for `pip install` alone goes before what is said for all, and the environment before both.
    for section in ("global", "install", ":env:"):
        for name, value in re.findall(rf"^{re.escape(section)}\.([\w-]+)=(.*)$", told, re.MULTILINE):
            settings[name] = str(ast.literal_eval(value))
    # pip takes the best version of all indexes; uv by default the first index that knows the package.
    environment = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for name, uv_name, between in _SETTINGS:
        if values := settings.get(name, "").split():
            environment[uv_name] = between.join(values)
    return environment | os.environ


if __name__ == "__main__":
    main()
