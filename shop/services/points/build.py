#!/usr/bin/env python3
"""Makes the environment that the service runs from: `build.py`. Needs Python 3.11 with `venv`, and the package registry.

Each content has an environment of its own under `.environments/`, named by a hash over all that goes into it; `.venv` points to
the newest, by rename, once it is whole. So a build never changes what a running instance reads, a killed build leaves
nothing that would be taken for one, and the same content is not installed twice.

`build.py check` installs what `requirements-dev.txt` names as well and runs formatter, linter, types and tests.
"""

import compileall
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
SDK = HERE / "../../../sdk/python/src/ondol"
PACKAGES = [HERE / "src/shop_points", SDK]

#: The running environment, the one before, and one more.
KEPT = 3

#: What `.venv/bin/shop-points` is.
PROGRAM = "#!{python} -I\nfrom shop_points.__main__ import main\n\nmain()\n"

CHECKS = [["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"], ["pytest"]]


def main() -> int:
    """Builds or checks, as the word says; the exit code."""
    if sys.argv[1:] == ["check"]:
        # Tests read our own files where they are.
        environment = build(HERE / "requirements-dev.txt", [], HERE / ".environments/check")
        runs = (subprocess.run([environment / "bin/python", "-m", *check], cwd=HERE, check=False) for check in CHECKS)
        return max(run.returncode for run in runs)
    environment = build(HERE / "requirements.txt", PACKAGES, HERE / ".environments/run")
    point(HERE / ".venv", environment)
    return 0


def build(requirements: Path, packages: list[Path], folder: Path) -> Path:
    """The environment of these requirements and packages; made when it is not there, and then old ones go."""
    files = [path for package in packages for path in sorted(package.rglob("*")) if path.suffix in {".py", ".typed"}]
    environment = folder / content([requirements, Path(__file__), *files])
    whole = environment / ".whole"
    if whole.exists():
        return environment
    shutil.rmtree(environment, ignore_errors=True)
    install(environment, requirements)
    site = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)}))
    for package in packages:
        shutil.copytree(package, site / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        compileall.compile_dir(site / package.name, quiet=1)
    program = environment / "bin/shop-points"
    program.write_text(PROGRAM.format(python=environment / "bin/python"), encoding="utf-8")
    program.chmod(0o755)
    whole.touch()
    forget_old(environment)
    return environment


def install(environment: Path, requirements: Path) -> None:
    """A virtual environment with what the requirements name, each by its hash."""
    try:
        venv.create(environment, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit("error: this Python cannot make virtual environments with pip; on Debian: apt-get install python3-venv")
    pip: list[str | Path] = [environment / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    installed = subprocess.run([*pip, *options, "--requirement", requirements], check=False)
    if installed.returncode != 0:
        sys.exit(f"error: pip could not install {requirements.name}; its words are above")


def content(files: list[Path]) -> str:
    """A name for what is in the files, for this Python and for this place, which the environment has in it."""
    digest = hashlib.sha256(f"{sys.version}\0{sys.base_prefix}\0{HERE}".encode())
    for path in files:
        digest.update(f"\0{path.name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def point(link: Path, target: Path) -> None:
    """Lets the link name the target, at once."""
    half = link.with_name(f"{link.name}.half-{os.getpid()}")
    half.symlink_to(target.relative_to(link.parent))
    half.replace(link)


def forget_old(current: Path) -> None:
    """Removes all but the newest environments."""
    others = sorted(
        (path for path in current.parent.iterdir() if path != current), key=lambda path: path.stat().st_mtime, reverse=True
    )
    for old in others[KEPT - 1 :]:
        shutil.rmtree(old, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
