"""h2load: 10,000 requests over HTTP/2, a hundred streams at a time, none may fail; nghttp beside it: a refused upload."""

import re
import subprocess
from functools import partial
from pathlib import Path

from judges.curl import LARGE, write_large
from judges.outcome import Outcome, held, same
from judges.system import PATIENCE, System, Way, need, need_node

REQUESTS = 10_000


def run(system: System) -> list[Outcome]:
    """By the gateway in the clear and with TLS, and by an edge; the service speaks HTTP/1.1, so there is no control."""
    need("h2load", "nghttp")
    need_node()
    ways = [way for way in system.ways("web") if way.name != "direct"]
    write_large(system.folder)
    outcomes = [held("h2load", "10,000 requests", way.name, partial(_load, way)) for way in ways]
    return outcomes + [
        held("nghttp", "a refused upload", way.name, partial(_refused, way, system.folder / str(LARGE))) for way in ways
    ]


def _load(way: Way) -> None:
    scheme = "https" if way.tls else "http"
    # The name goes along as authority; h2load connects to where `--connect-to` says.
    words = ["h2load", "-n", str(REQUESTS), "-c", "4", "-m", "100", "--connect-to", f"127.0.0.1:{way.port}"]
    ended = subprocess.run(
        [*words, f"{scheme}://{way.host}:{way.port}/hello"], capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    found = re.search(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed", ended.stdout)
    same(found.groups() if found else ended.stdout[-300:] + ended.stderr, (str(REQUESTS), str(REQUESTS), "0"), "requests")
    statuses = re.search(r"status codes: (\d+) 2xx", ended.stdout)
    same(statuses and statuses[1], str(REQUESTS), "answers with 2xx")


def _refused(way: Way, large: Path) -> None:
    """An answer that comes before the upload's end is read whole, whatever becomes of the upload."""
    url = f"{'https' if way.tls else 'http'}://127.0.0.1:{way.port}/refused"
    words = ["nghttp", "--data", str(large), "-H", f":authority: {way.host}", "-H", "expect: 100-continue", url]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE, check=False)
    same(ended.stdout, "no\n", "what came")
