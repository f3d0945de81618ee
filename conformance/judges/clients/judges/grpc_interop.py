"""gRPC: two clients, two servers, straight and through Ondol."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from judges.grpc_cases import CASES, Client
from judges.outcome import Outcome, held
from judges.system import HERE, PATIENCE, System, Way, has_node, need_node

#: The cases of one client on one way.
Run = Callable[[], list[Outcome]]

SERVERS = {"interop-python": "grpcio", "interop-node": "grpc-js"}


def run(system: System) -> list[Outcome]:
    """All cases of both clients, on every way to both servers."""
    need_node()
    runs: list[Run] = []
    for service, server in SERVERS.items():
        for way in system.ways(service):
            runs.append(partial(_python, f"grpcio to {server}", way, system))
            runs.append(partial(javascript, "grpc.js", f"grpc-js to {server}", way, system))
    return together(runs)


def together(runs: Sequence[Run]) -> list[Outcome]:
    """The outcomes of all, in their order. A few run at a time: cases wait more than they work."""
    with ThreadPoolExecutor(max_workers=4) as threads:
        return [outcome for outcomes in threads.map(lambda run: run(), runs) for outcome in outcomes]


def _python(subject: str, way: Way, system: System) -> list[Outcome]:
    client = Client(way, system.certificate.read_bytes())
    try:
        return [held(subject, case.__name__, way.name, partial(case, client)) for case in CASES]
    finally:
        client.close()


def javascript(program: str, subject: str, way: Way, system: System, *words: str) -> list[Outcome]:
    """Runs `clients/PROGRAM`, which prints a line of JSON for each case: its name, and its error or null."""
    assert has_node()
    url = f"{'https' if way.tls else 'http'}://{way.host}:{way.port}"
    ended = subprocess.run(
        ["node", HERE / "clients" / program, url, *words],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(system.certificate), "JUDGE_DESCRIPTORS": str(system.descriptors)},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    outcomes = [Outcome(subject, said["case"], way.name, said["error"]) for said in map(json.loads, ended.stdout.splitlines())]
    if ended.returncode != 0 or not outcomes:
        outcomes.append(Outcome(subject, "the program's end", way.name, f"code {ended.returncode}: {ended.stderr[-500:]}"))
    return outcomes
