"""The real servers: what each needs, and the command that starts it. `serve.py` becomes one of them.

A server gets `PORT`, `ONDOL_DATA` (its own folder) and `GATEWAY_URL` from Ondol, and `SEEN`, the file that it writes a line to
for each request, from the judge.
"""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent.parent
PYTHON = HERE / ".venv/bin/python"
_MODULES = Path("/usr/lib/apache2/modules")


@dataclass(frozen=True)
class Server:
    """A program that is a back end or a front."""

    name: str
    needs: str
    """What installs it, for people."""
    there: Callable[[], bool]
    command: Callable[[], list[str]]
    """The words that start it; may write files of its own first."""


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")


def _debian(name: str, package: str, words: Callable[[str], list[str]], program: str | None = None) -> Server:
    program = program or name
    return Server(
        name, f"Debian: {package}", lambda: _program(program) is not None, lambda: words(_program(program) or program)
    )


def _python(name: str, module: str, *words: str) -> Server:
    def command() -> list[str]:
        return [str(PYTHON), *(word.format(port=os.environ["PORT"]) for word in words)]

    def there() -> bool:
        return any((HERE / ".venv/lib").glob(f"python3*/site-packages/{module}"))

    return Server(name, f"PyPI: {module}", there, command)


def _own(name: str, function: str) -> Server:
    return _python(name, name, "-c", f"import app; app.serve_{function}()")


def _conf(folder: str, name: str) -> str:
    """The path of a configuration, written into the server's own folder with its places filled in."""
    data = Path(os.environ["ONDOL_DATA"])
    gateway = urlsplit(os.environ["GATEWAY_URL"])
    root = os.getuid() == 0
    users = {"nginx.conf": "user root;", "apache.conf": "User www-data\nGroup www-data"}
    # CGI programs are started for every request, so by a real program rather than by a script that looks for one, and by
    # servers that have given up the rights of root, so by one that is everybody's.
    python = next(python for python in ("/usr/bin/python3", "/usr/local/bin/python3", sys.executable) if Path(python).exists())
    program = Path(os.environ["SEEN"]).parent / "cgi"
    program.write_text(f"#!{python} -IS\n{(HERE / 'backends/cgi.py').read_text(encoding='utf-8')}", encoding="utf-8")
    program.chmod(0o755)
    text = Template((HERE / folder / name).read_text(encoding="utf-8")).substitute(
        port=os.environ["PORT"],
        seen=os.environ["SEEN"],
        data=data,
        cgi=program,
        modules=_MODULES,
        gateway=gateway.netloc,
        user=users.get(name, "") if root else "",
    )
    path = data / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def _said_to_seen() -> list[str]:
    """Lets the standard output go to the file `SEEN`, for servers that log there only; no words."""
    with open(os.environ["SEEN"], "a", encoding="utf-8") as seen:  # noqa: PTH123
        os.dup2(seen.fileno(), sys.stdout.fileno())
    return []


_WSGI = ["--bind", "127.0.0.1:{port}", "--workers", "1", "app:wsgi"]

BACKENDS: list[Server] = [
    Server("plain", "nothing", lambda: True, lambda: [sys.executable, "-m", "judge.recorder"]),
    _python("gunicorn", "gunicorn", "-m", "gunicorn", "--worker-class", "gthread", "--threads", "8", *_WSGI),
    _python("uvicorn", "uvicorn", "-m", "uvicorn", "--port", "{port}", "--no-access-log", "--http", "h11", "app:asgi"),
    _python("hypercorn", "hypercorn", "-m", "hypercorn", "--bind", "127.0.0.1:{port}", "app:asgi"),
    _python("granian", "granian", "-m", "granian", "--interface", "asgi", "--port", "{port}", "app:asgi"),
    _python("waitress", "waitress", "-m", "waitress", "--listen", "127.0.0.1:{port}", "--threads", "8", "app:wsgi"),
    _own("cheroot", "cheroot"),
    _own("gevent", "gevent"),
    _own("aiohttp", "aiohttp"),
    _own("tornado", "tornado"),
    _debian("node", "nodejs", lambda node: [node, "node.js"]),
    _debian("nginx", "nginx", lambda nginx: [nginx, "-c", _conf("backends", "nginx.conf"), "-e", "stderr"]),
    _debian(
        "apache", "apache2-bin", lambda apache: [apache, "-DFOREGROUND", "-f", _conf("backends", "apache.conf")], "apache2"
    ),
    _debian("lighttpd", "lighttpd", lambda lighttpd: [lighttpd, "-D", "-f", _conf("backends", "lighttpd.conf")]),
    _debian("puma", "puma", lambda puma: [puma, "--bind", f"tcp://127.0.0.1:{os.environ['PORT']}", "--quiet", "config.ru"]),
]

FRONTS: list[Server] = [
    _debian("nginx", "nginx", lambda nginx: [nginx, "-c", _conf("fronts", "nginx.conf"), "-e", "stderr"]),
    _debian("haproxy", "haproxy", lambda haproxy: [*_said_to_seen(), haproxy, "-db", "-f", _conf("fronts", "haproxy.cfg")]),
    _debian("caddy", "caddy", lambda caddy: [caddy, "run", "--adapter", "caddyfile", "--config", _conf("fronts", "Caddyfile")]),
    _debian("apache", "apache2-bin", lambda apache: [apache, "-DFOREGROUND", "-f", _conf("fronts", "apache.conf")], "apache2"),
]


def become(kind: str, name: str) -> None:
    """Turns this process into the server."""
    server = next(server for server in {"backend": BACKENDS, "front": FRONTS}[kind] if server.name == name)
    words = server.command()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE / "backends")])
    os.environ["HOME"] = os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_DATA_HOME"] = os.environ["ONDOL_DATA"]
    os.chdir(HERE / "backends")
    os.execvp(words[0], words)
