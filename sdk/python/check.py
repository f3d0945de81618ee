#!/usr/bin/env python3
"""Checks this package and `conformance/sdk`: formatter, linter, types, tests, every case on SQLite and PostgreSQL, the runner.

Formatter, linter and types of `conformance/judges/smuggling` too.

Everything runs from `.venv`, made from `requirements-dev.txt` by hash, and again when that changes. Exit code 0: all well.
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
CASES = HERE.parent.parent / "conformance/sdk"
JUDGES = HERE.parent.parent / "conformance/judges/smuggling"
REQUIREMENTS = HERE / "requirements-dev.txt"
PYTHON = HERE / ".venv/bin/python"

RUNNER = [str(CASES / name) for name in ("run.py", "test_run.py", "with_postgres.py")]
BESIDE_POSTGRES = [RUNNER[2], str(PYTHON)]
CHECKS = [
    [str(PYTHON), "-m", "ruff", "format", "--check", str(HERE), str(CASES), str(JUDGES)],
    [str(PYTHON), "-m", "ruff", "check", str(HERE), str(CASES), str(JUDGES)],
    [str(PYTHON), "-m", "mypy"],
    [str(PYTHON), "-m", "mypy", "--strict", *RUNNER],
    [str(PYTHON), "-m", "mypy", "--strict", *(str(JUDGES / name) for name in ("run.py", "serve.py", "test_judge.py"))],
    [*BESIDE_POSTGRES, "-m", "pytest"],
    [*BESIDE_POSTGRES, RUNNER[0], "--", str(PYTHON), str(HERE / "conformance/driver.py")],
    [str(PYTHON), RUNNER[1]],
]


def main() -> int:
    """Runs every check, also after one that failed; the exit code."""
    install()
    environment = {**os.environ, "PYTHONPATH": str(HERE / "src")}
    return max(subprocess.run([*words], cwd=HERE, env=environment, check=False).returncode for words in CHECKS)


def install() -> None:
    """Makes the environment, unless it is there with what the requirements say now."""
    said = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    done = HERE / ".venv/.requirements"
    if done.is_file() and done.read_text(encoding="utf-8") == said:
        return
    venv.create(HERE / ".venv", with_pip=True, clear=True)
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, "--require-hashes", "--requirement", str(REQUIREMENTS)], check=True)
    done.write_text(said, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
