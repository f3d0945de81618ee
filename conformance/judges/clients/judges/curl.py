"""curl, as one types it: HTTP/1.1, HTTP/2 with prior knowledge and by ALPN, against `services/web.js`."""

import hashlib
import json
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from judges.outcome import Outcome, Wrong, held, same
from judges.system import PATIENCE, System, Way, need, need_node

#: What goes up and comes down whole.
LARGE = 64 << 20
#: The same where only the way of sending is another.
SMALL = 4 << 20
BLOCK = 1 << 16


@dataclass(frozen=True)
class Answer:
    """What curl said: its exit code, the last answer's status and version, all heads, the body."""

    exit: int
    status: int
    version: str
    heads: str
    body: bytes


@dataclass(frozen=True)
class Curl:
    """curl on one way, in one version of HTTP."""

    way: Way
    version: tuple[str, ...]
    certificate: Path
    folder: Path

    def __call__(self, path: str, *words: str) -> Answer:
        scheme = "https" if self.way.tls else "http"
        heads = self.folder / "heads"
        body = self.folder / "body"
        body.unlink(missing_ok=True)
        words = (
            *("curl", "-sS", "--max-time", str(PATIENCE), "--cacert", str(self.certificate), *self.version, "--globoff"),
            *("--connect-to", f"{self.way.host}::127.0.0.1:", "-D", str(heads), "-o", str(body)),
            *("-w", "%{http_code} %{http_version}", *words, f"{scheme}://{self.way.host}:{self.way.port}{path}"),
        )
        ended = subprocess.run(words, capture_output=True, text=True, check=False)
        status, version = ended.stdout.split() or ("0", "0")
        text = heads.read_text(encoding="latin-1") if heads.exists() else ""
        return Answer(ended.returncode, int(status), version, text, body.read_bytes() if body.exists() else b"")

    def good(self, path: str, *words: str, status: int = 200) -> Answer:
        """As above, and curl is content."""
        answer = self(path, *words)
        same((answer.exit, answer.status), (0, status), "curl's exit code, and the status")
        return answer


def field(answer: Answer, name: str) -> list[str]:
    """All values of a field in the heads, trailers with them."""
    lines = (line.partition(":") for line in answer.heads.splitlines())
    return [value.strip() for key, _, value in lines if key.lower() == name]


def seen(answer: Answer) -> dict[str, Any]:
    """What the service says that it saw."""
    return dict(json.loads(answer.body))


def get(curl: Curl) -> None:
    same(curl.good("/hello").body, b"hello\n", "body")


def head(curl: Curl) -> None:
    answer = curl.good("/text", "--head")
    same((field(answer, "content-length"), answer.body.count(b"warm")), (["2048"], 0), "length and body")


def ranges(curl: Curl) -> None:
    answer = curl.good("/text", "--range", "4-8", status=206)
    same((answer.body, field(answer, "content-range")), (b"floor", ["bytes 4-8/2048"]), "the range")


def post(curl: Curl) -> None:
    said = seen(curl.good("/seen", "--data", "a=1&b=2"))
    same((said["method"], said["body"]), ("POST", "a=1&b=2"), "what the service saw")


def redirects(curl: Curl) -> None:
    """303 makes it a GET, 307 and 308 repeat it.

    Not over HTTP/2 in the clear: there curl 7.88 cannot go on after a POST (exit code 16), whoever the server is.
    """
    for status, method, body in ((303, "GET", ""), (307, "POST", "again"), (308, "POST", "again")):
        answer = curl.good(f"/moved?status={status}", "--location", "--data", "again")
        said = seen(answer)
        same((said["method"], said["body"]), (method, body), f"what the service saw after {status}")


def cookies(curl: Curl) -> None:
    jar = str(curl.folder / "jar")
    Path(jar).unlink(missing_ok=True)
    same(
        sorted(field(curl.good("/cookies", "--cookie-jar", jar), "set-cookie")), ["a=1; Path=/", "b=2; Path=/; HttpOnly"], "set"
    )
    said = seen(curl.good("/seen", "--cookie", jar))
    same(sorted(said["headers"]["cookie"].split("; ")), ["a=1", "b=2"], "cookies that came back")


def trailers(curl: Curl) -> None:
    answer = curl.good("/trailers", "-H", "TE: trailers")
    same((answer.body, field(answer, "x-sum"), field(answer, "x-other")), (b"body\n", ["17"], ["last"]), "body and trailers")


def upload(curl: Curl) -> None:
    _upload(curl, LARGE)


def upload_unknown_length(curl: Curl) -> None:
    _upload(curl, SMALL, "-H", "Content-Length:", "-H", "Transfer-Encoding: chunked")


def expect_continue(curl: Curl) -> None:
    _upload(curl, SMALL, "-H", "Expect: 100-continue", "--expect100-timeout", str(PATIENCE))


def expect_refused(curl: Curl) -> None:
    """The service's refusal comes in place of the 100, and the upload need not.

    Over HTTP/1.1: curl before 8 throws an answer away that comes with RST_STREAM (NO_ERROR), from Ondol and nginx alike, which
    RFC 9113 forbids in section 8.1. The judge `h2load` has that case with nghttp.
    """
    large = str(curl.folder / str(LARGE))
    answer = curl("/refused", "-X", "POST", "--upload-file", large, "-H", "Expect: 100-continue", "--expect100-timeout", "10")
    same((answer.status, answer.body), (403, b"no\n"), "the refusal")


def download(curl: Curl) -> None:
    _download(curl, LARGE, "")


def download_unknown_length(curl: Curl) -> None:
    _download(curl, SMALL, "&chunked=1")


def aborted(curl: Curl) -> None:
    """Curl gives up, and the service learns it."""
    name = uuid.uuid4().hex
    same(curl(f"/hang?name={name}", "--max-time", "0.5").exit, 28, "curl's exit code")
    for _ in range(100):
        if curl.good(f"/gone?name={name}").body == b"true\n":
            return
    raise Wrong("the service was not told that the client is gone")


def statuses(curl: Curl) -> None:
    for status in (200, 201, 400, 404, 409, 418, 500, 503, 599):
        same(curl.good(f"/status?status={status}", "-X", "DELETE", status=status).body, b"as asked\n", "body")
    same(curl.good("/empty", status=204).body, b"", "body of a 204")


def reuse(curl: Curl) -> None:
    """Several requests in one run of curl, over one connection."""
    scheme = "https" if curl.way.tls else "http"
    url = f"{scheme}://{curl.way.host}:{curl.way.port}"
    same(_connects(curl, url), "1000000000", "connections made for ten requests")


def upgrade(curl: Curl) -> None:
    """`Upgrade: h2c` is not taken: HTTP/1.1 goes on, and the service hears nothing of it."""
    answer = Curl(curl.way, ("--http2",), curl.certificate, curl.folder).good("/seen")
    same(answer.version, "1.1", "version")
    same({"upgrade", "http2-settings"} & set(seen(answer)["headers"]), set(), "fields that reached the service")


CASES: tuple[Callable[[Curl], None], ...] = (
    get,
    head,
    ranges,
    post,
    cookies,
    trailers,
    upload,
    upload_unknown_length,
    download,
    download_unknown_length,
    expect_continue,
    aborted,
    statuses,
    reuse,
)


#: By service: its ways, with what curl speaks on each. Straight is the control of its own version.
SPOKEN = {
    "web": {"direct": ("HTTP/1.1",), "gateway": ("HTTP/1.1", "HTTP/2"), "tls": ("HTTP/1.1", "HTTP/2"), "edge": ("HTTP/1.1",)},
    "web-h2": {"direct": ("HTTP/2",), "gateway": ("HTTP/1.1", "HTTP/2"), "edge": ("HTTP/2",)},
}


def run(system: System) -> list[Outcome]:
    """All cases in every version on every way that speaks it."""
    need("curl")
    need_node()
    write_large(system.folder)
    outcomes = []
    for service, spoken in SPOKEN.items():
        for way in system.ways(service):
            for name in spoken.get(way.name, ()):
                outcomes += _on(way, name, f"{name} to {service}", system)
    return outcomes


def write_large(folder: Path) -> None:
    """What is sent, in files named by their sizes."""
    for size in (SMALL, LARGE):
        with (folder / str(size)).open("wb") as file:
            for number in range(size // BLOCK):
                file.write(number.to_bytes(4, "big") * (BLOCK // 4))


def _on(way: Way, name: str, subject: str, system: System) -> list[Outcome]:
    first = name == "HTTP/1.1"
    words = "--http1.1" if first else "--http2" if way.tls else "--http2-prior-knowledge"
    curl = Curl(way, (words,), system.certificate, system.folder)
    cases = [*CASES, version]
    if first or way.tls:
        cases.append(redirects)
    if first:
        cases.append(expect_refused)
        cases += [upgrade] if not way.tls and way.name != "direct" else []
    return [held(subject, case.__name__, way.name, partial(case, curl)) for case in cases]


def _upload(curl: Curl, size: int, *words: str) -> None:
    file = curl.folder / str(size)
    answer = curl.good("/hash", "-X", "POST", "--upload-file", str(file), *words)
    with file.open("rb") as sent:
        wanted = hashlib.file_digest(sent, "sha256").hexdigest()
    same(answer.body.decode(), f"{wanted} {size}\n", "what arrived")


def _download(curl: Curl, size: int, more: str) -> None:
    answer = curl.good(f"/blocks?n={size // BLOCK}{more}")
    wanted = (b"ondol" * (BLOCK // 5 + 1))[:BLOCK] * (size // BLOCK)
    same(hashlib.sha256(answer.body).hexdigest(), hashlib.sha256(wanted).hexdigest(), "hash of what came")


def version(curl: Curl) -> None:
    same(curl.good("/hello").version, "1.1" if curl.version == ("--http1.1",) else "2", "version")


def _connects(curl: Curl, url: str) -> str:
    words = ["curl", "-sS", "--max-time", str(PATIENCE), "--cacert", str(curl.certificate), *curl.version]
    words += ["--connect-to", f"{curl.way.host}::127.0.0.1:", "-w", "%{num_connects}"]
    for _ in range(10):
        words += ["-o", "/dev/null", f"{url}/hello"]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout
