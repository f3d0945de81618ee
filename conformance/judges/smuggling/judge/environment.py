"""The environment of the back ends in Python: `.venv`, made from `requirements.txt` by hash, and again when that changes."""

import hashlib
import subprocess
import sys
import venv

from .servers import HERE, PYTHON

_REQUIREMENTS = HERE / "requirements.txt"


def install() -> None:
    """Makes it, unless it is there with what the requirements say now; says so where it cannot be made."""
    said = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    done = HERE / ".venv/.requirements"
    if done.is_file() and done.read_text(encoding="utf-8") == said:
        return
    try:
        venv.create(HERE / ".venv", with_pip=True, clear=True)
        pip = [
            str(PYTHON),
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
        ]
        subprocess.run([*pip, "--require-hashes", "--requirement", str(_REQUIREMENTS)], check=True)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"could not install the back ends in Python: {error}", file=sys.stderr)
        return
    done.write_text(said, encoding="utf-8")
