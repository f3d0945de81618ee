"""The CGI program behind Apache and lighttpd: says which request it saw, and writes a line for each to the file `SEEN`.

It is started for every request, so it imports next to nothing.
"""

import sys
from _sha256 import sha256
from posix import environ


def said(name: bytes) -> str:
    """A variable, as text in JSON may hold it."""
    return environ.get(name, b"").decode("latin-1").replace("\\", "\\\\").replace('"', '\\"')


method, path, length = said(b"REQUEST_METHOD"), said(b"REQUEST_URI"), said(b"CONTENT_LENGTH")
# A path with `/unread` is answered without a look at the body.
body = None if "/unread" in path else sys.stdin.buffer.read(int(length)) if length else sys.stdin.buffer.read()
whole = "true" if body is None or not length or len(body) == int(length) else "false"
size, digest = ("null", "null") if body is None else (len(body), f'"{sha256(body).hexdigest()}"')
with open(environ[b"SEEN"], "a", encoding="utf-8") as seen:
    seen.write(f'{{"method":"{method}","path":"{path}","length":{size},"sha256":{digest},"whole":{whole}}}\n')
saw = f"{method} {path}"
sys.stdout.write(f"Status: 200 OK\r\nX-Saw: {saw}\r\nContent-Type: text/plain\r\nContent-Length: {len(saw)}\r\n\r\n")
sys.stdout.write("" if method == "HEAD" else saw)
