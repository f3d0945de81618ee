"""gRPC-Web and Connect by Connect's clients, gRPC-Web by gRPC's own: translated before gRPC servers, else passed on."""

from functools import partial

from judges.grpc_interop import Run, javascript, together
from judges.outcome import Outcome
from judges.system import System, need_node

WEB = ("grpc-web fetch", "grpc-web h1", "grpc-web h2")
#: Those of gRPC's own client, which speaks base64 where answers stream.
XHR = ("grpc-web xhr text", "grpc-web xhr binary")
CONNECT = ("connect fetch json", "connect fetch binary", "connect h1", "connect h2")

#: By service: what clients may speak to it through Ondol, and what it understands itself, so that straight is a control.
SPOKEN = {
    "interop-python": ((*WEB, *XHR, "grpc h2"), ("grpc h2",)),
    "interop-node": ((*WEB, *XHR), ()),
    "connect": (
        (*WEB, "grpc-web xhr binary", *CONNECT),
        ("grpc-web fetch", "grpc-web h1", "grpc-web xhr binary", "connect fetch json", "connect fetch binary", "connect h1"),
    ),
    "connect-h2": ((*WEB, *XHR, *CONNECT, "grpc h2"), ("grpc-web h2", "connect h2", "grpc h2")),
}


#: Where a dialect is tried. By fetch on every way, as it is what browsers do; the others where they differ from it.
WAYS = {
    "fetch": {"direct", "gateway", "deadline", "tls", "edge"},
    "h1": {"direct", "gateway"},
    "xhr": {"direct", "gateway", "deadline", "tls", "edge"},
    "h2": {"direct", "gateway", "tls"},
}


def run(system: System) -> list[Outcome]:
    """Every dialect on every way that takes it."""
    need_node()
    runs: list[Run] = []
    for service, (by_ondol, alone) in SPOKEN.items():
        # A server of Connect on HTTP/1.1 says 505 to streams that go both ways at once.
        streams = "oneway" if service == "connect" else "both"
        for way in system.ways(service):
            for dialect in alone if way.name == "direct" else by_ondol:
                if way.name in WAYS[dialect.split()[1]]:
                    subject = f"{dialect} to {service}"
                    if dialect in XHR:
                        runs.append(partial(javascript, "xhr.js", subject, way, system, dialect.split()[2]))
                    else:
                        runs.append(partial(javascript, "web.js", subject, way, system, dialect, streams))
    return together(runs)
