"""The build's own decisions: a name for each content, a link that is never half, and old environments that go."""

import os
from pathlib import Path

import build


def test_the_name_follows_the_content(tmp_path: Path) -> None:
    file, other = tmp_path / "a.py", tmp_path / "b.py"
    for path in (file, other):
        path.write_text("1")
    first = build.content([file, other])
    assert build.content([file, other]) == first
    assert build.content([other, file]) != first
    file.write_text("2")
    assert build.content([file, other]) != first


def test_the_link_is_moved_at_once(tmp_path: Path) -> None:
    link = tmp_path / ".venv"
    for name in ("one", "two", "two"):
        (tmp_path / name).mkdir(exist_ok=True)
        build.point(link, tmp_path / name)
        assert link.readlink() == Path(name)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".venv", "one", "two"]


def test_only_the_newest_environments_stay(tmp_path: Path) -> None:
    for n in range(6):
        (tmp_path / str(n)).mkdir()
        os.utime(tmp_path / str(n), (n, n))
    build.forget_old(tmp_path / "0")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "4", "5"]


def test_half_an_environment_is_not_taken_for_one(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("")
    half = tmp_path / "run" / build.content([file, Path(build.__file__)])
    (half / "bin").mkdir(parents=True)
    (half / "bin/leftover").touch()
    environment = build.build(file, [], tmp_path / "run")
    assert environment == half
    assert not (half / "bin/leftover").exists()
    made = (half / "bin/shop-points").stat().st_mtime_ns
    assert build.build(file, [], tmp_path / "run") == half
    assert (half / "bin/shop-points").stat().st_mtime_ns == made
