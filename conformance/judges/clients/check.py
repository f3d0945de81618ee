#!/usr/bin/env python3
"""Runs the judges against a built `ondol`: `check.py [--ondol PROGRAM] [JUDGE…]`; first checks the form of this folder.

Everything runs from `.venv` and `node_modules`, made from the lock files by hash, and again when those change. What cannot be
installed is skipped, loudly; `judge.py` says which judges go with it. Exit code 0: nobody found anything wrong.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "requirements.txt"
PYTHON = HERE / ".venv/bin/python"
PROGRAMS = ["check.py", "judge.py", "judges", "services"]

CHECKS = [
    [str(PYTHON), "-m", "ruff", "format", "--check", "."],
    [str(PYTHON), "-m", "ruff", "check", "."],
    [str(PYTHON), "-m", "mypy", "--strict", "--explicit-package-bases", *PROGRAMS],
]


def main() -> int:
    """Installs, checks, judges, each also after one that failed; the exit code."""
    if not python():
        return 0
    checks = [*CHECKS, ["npm", "run", "--silent", "lint"]] if node() else CHECKS
    judges = [str(PYTHON), str(HERE / "judge.py"), *sys.argv[1:]]
    return max(subprocess.run(words, cwd=HERE, check=False).returncode for words in [*checks, judges])


def python() -> bool:
    """Makes the environment, unless it is there with what the requirements say now; whether it is there."""
    said = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    done = HERE / ".venv/.requirements"
    if done.is_file() and done.read_text(encoding="utf-8") == said:
        return True
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    try:
        # A copied interpreter would be taken for a program that Ondol keeps a copy of, and that has no packages.
        venv.create(HERE / ".venv", with_pip=True, clear=True, symlinks=True)
        subprocess.run([*pip, "--require-hashes", "--requirement", str(REQUIREMENTS)], check=True)
    except subprocess.CalledProcessError as error:
        print(f"SKIPPED: clients of others through Ondol; their Python packages cannot be installed: {error}", file=sys.stderr)
        return False
    done.write_text(said, encoding="utf-8")
    return True


def node() -> bool:
    """The same for `node_modules`. No package's install script is run; none is needed."""
    said = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    done = HERE / "node_modules/.lock"
    if done.is_file() and done.read_text(encoding="utf-8") == said:
        return True
    if shutil.which("npm") is None:
        return False
    words = ["npm", "ci", "--silent", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    if subprocess.run(words, cwd=HERE, env={**os.environ}, check=False).returncode != 0:
        shutil.rmtree(HERE / "node_modules", ignore_errors=True)
        return False
    done.write_text(said, encoding="utf-8")
    return True


if __name__ == "__main__":
    sys.exit(main())
