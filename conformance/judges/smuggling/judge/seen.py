"""What a back end saw: a line of JSON for each request, written by the back end, read by the judge."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Seen:
    """One request. `length` and `sha256` are those of its body; `None`: it was not looked at."""

    method: str
    path: str
    length: int | None
    sha256: str | None
    whole: bool
    """Whether the body came to its end; a request that did not is one that was taken back."""
    wrong: str = ""
    """What was not plain HTTP/1.1 in it, by the recorder."""

    @classmethod
    def of(cls, method: str, path: str, body: bytes | None, *, whole: bool, wrong: str = "") -> "Seen":
        """With the length and digest of this body."""
        if body is None:
            return cls(method, path, None, None, whole, wrong)
        return cls(method, path, len(body), hashlib.sha256(body).hexdigest(), whole, wrong)


def write(path: Path, seen: Seen) -> None:
    """One append of one line."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(seen)) + "\n")


def read(path: Path) -> Iterator[Seen]:
    """Everything that a back end saw, in its order."""
    for line in path.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        if "body" in said:  # nginx can log a body, and not its digest.
            body = said.pop("body").encode("latin-1")
            yield Seen.of(said["method"], said["path"], None if "/unread" in said["path"] else body, whole=said["whole"])
        else:
            yield Seen(**said)
