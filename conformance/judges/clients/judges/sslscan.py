"""sslscan against the listener with TLS: what it offers, and what it must not."""

import socket
import subprocess
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

from judges.outcome import Outcome, held, same
from judges.system import PATIENCE, System, need

#: RFC 9325 and Mozilla's "intermediate": forward secrecy and authenticated encryption alone. TLS 1.3 has no others.
CIPHERS_1_2 = {
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
}
GROUPS = {"x25519", "secp256r1", "secp384r1"}


def run(system: System) -> list[Outcome]:
    """One scan, many questions."""
    need("sslscan")
    report = system.folder / "sslscan.xml"
    words = [
        "sslscan",
        "--no-colour",
        "--show-certificate",
        f"--xml={report}",
        "--sni-name=web.test",
        f"127.0.0.1:{system.tls}",
    ]
    subprocess.run(words, capture_output=True, timeout=2 * PATIENCE, check=True)
    found = ElementTree.parse(report).getroot().find("ssltest")
    assert found is not None
    said = found
    questions: dict[str, Callable[[], None]] = {
        "versions": lambda: same(
            {f"{one.get('type')} {one.get('version')}" for one in said.iter("protocol") if one.get("enabled") == "1"},
            {"tls 1.2", "tls 1.3"},
            "versions",
        ),
        "ciphers": lambda: _ciphers(said),
        "compression": lambda: same(_compression(system.tls), 0, "compression of a client that offers DEFLATE"),
        "renegotiation": lambda: same(_get(said, "renegotiation", "supported"), "0", "renegotiation"),
        "heartbleed": lambda: same({one.get("vulnerable") for one in said.iter("heartbleed")}, {"0"}, "vulnerable"),
        "groups": lambda: _groups(said),
        "certificate": lambda: _certificate(said),
    }
    return [held("sslscan", name, "tls", question) for name, question in questions.items()]


def _get(said: Any, element: str, attribute: str) -> str | None:
    found = said.find(element)
    return None if found is None else str(found.get(attribute))


def _ciphers(said: Any) -> None:
    ciphers = [(one.get("sslversion"), one.get("cipher"), one.get("strength")) for one in said.iter("cipher")]
    same(len(ciphers) > 0, True, "that there are ciphers")
    odd = [one for one in ciphers if one[0] == "TLSv1.2" and one[1] not in CIPHERS_1_2]
    weak = [one for one in ciphers if one[2] not in {"strong", "acceptable"}]
    same((odd, weak), ([], []), "ciphers of TLS 1.2 that are not in the list, and weak ones")


def _groups(said: Any) -> None:
    groups = {str(one.get("name")).split(" ")[0] for one in said.iter("group")}
    same(groups, GROUPS, "key exchange groups")


def _certificate(said: Any) -> None:
    certificate = said.find("certificates/certificate[@type='short']")
    same(certificate is not None, True, "that there is a certificate")
    key = certificate.find("pk")
    same(
        (certificate.findtext("subject"), key.get("type"), key.get("curve_name")), ("judged", "EC", "prime256v1"), "certificate"
    )
    same("DNS:web.test" in certificate.findtext("altnames"), True, "web.test is among its names")


def _compression(port: int) -> int:
    """The method that the server takes of a ClientHello of TLS 1.2 by hand: today's OpenSSL, and so sslscan, offers none."""

    def block(size: int, data: bytes) -> bytes:
        return len(data).to_bytes(size, "big") + data

    def extension(kind: int, data: bytes) -> bytes:
        return kind.to_bytes(2, "big") + block(2, data)

    extensions = extension(0, block(2, b"\0" + block(2, b"web.test")))
    extensions += extension(10, block(2, b"\0\x17")) + extension(11, block(1, b"\0")) + extension(13, block(2, b"\4\3"))
    hello = (
        b"\3\3" + bytes(range(32)) + block(1, b"") + block(2, b"\xc0\x2b\xc0\x2c") + block(1, b"\1\0") + block(2, extensions)
    )
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as stream:
        stream.sendall(b"\x16\3\1" + block(2, b"\1" + block(3, hello)))
        reader = stream.makefile("rb")
        head = reader.read(5)
        same(head[0], 22, "the record's type; 21 is an alert")
        answer = reader.read(int.from_bytes(head[3:], "big"))
    # Type and length, version, random, the session's id by its length, the cipher; then the method.
    return answer[4 + 2 + 32 + 1 + answer[4 + 2 + 32] + 2]
