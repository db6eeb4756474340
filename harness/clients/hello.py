"""What a TLS server answers to a ClientHello: which versions and cipher suites it offers, weak and national ones too.

A library that is well kept no longer speaks SSL 3.0, RC4 or an export cipher, and OpenSSL 3 knows no SM4 suite:
whether a server still accepts them is seen in its first answer, before any key is agreed on. So the hello is written
here, and nothing but the ServerHello (or the alert) is read. RFC 5246 and 8446 (TLS), RFC 8998 (SM suites in TLS 1.3),
GB/T 38636-2020 (TLCP).
"""

from __future__ import annotations

import secrets
import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from harness.system.wait import Deadline

SSL3, TLS10, TLS11, TLS12, TLS13, TLCP = 0x0300, 0x0301, 0x0302, 0x0303, 0x0304, 0x0101
VERSIONS = {SSL3: "SSL 3.0", TLS10: "TLS 1.0", TLS11: "TLS 1.1", TLS12: "TLS 1.2", TLS13: "TLS 1.3", TLCP: "TLCP 1.1"}
#: RFC 8998, 2: the two suites of TLS 1.3, curveSM2 and sm2sig_sm3.
SM_SUITES = {0x00C6: "TLS_SM4_GCM_SM3", 0x00C7: "TLS_SM4_CCM_SM3"}
_CURVE_SM2, _SM2_SM3 = 41, 0x0708
#: GB/T 38636-2020, 6.4.5.2.1 (table 2).
TLCP_SUITES = {
    0xE011: "ECDHE_SM4_CBC_SM3",
    0xE051: "ECDHE_SM4_GCM_SM3",
    0xE013: "ECC_SM4_CBC_SM3",
    0xE053: "ECC_SM4_GCM_SM3",
    0xE015: "IBSDH_SM4_CBC_SM3",
    0xE055: "IBSDH_SM4_GCM_SM3",
    0xE017: "IBC_SM4_CBC_SM3",
    0xE057: "IBC_SM4_GCM_SM3",
    0xE019: "RSA_SM4_CBC_SM3",
    0xE059: "RSA_SM4_GCM_SM3",
    0xE01C: "RSA_SM4_CBC_SHA256",
    0xE05A: "RSA_SM4_GCM_SHA256",
}
#: Suites without encryption, without authentication, or with ciphers that RFC 7465, 8996, 9325 (4.1) forbid or advise
#: against: IANA's registry of TLS cipher suites.
WEAK_SUITES = {
    0x0001: "RSA_WITH_NULL_MD5",
    0x0002: "RSA_WITH_NULL_SHA",
    0x003B: "RSA_WITH_NULL_SHA256",
    0xC006: "ECDHE_ECDSA_WITH_NULL_SHA",
    0xC010: "ECDHE_RSA_WITH_NULL_SHA",
    0x0003: "RSA_EXPORT_WITH_RC4_40_MD5",
    0x0006: "RSA_EXPORT_WITH_RC2_CBC_40_MD5",
    0x0008: "RSA_EXPORT_WITH_DES40_CBC_SHA",
    0x0014: "DHE_RSA_EXPORT_WITH_DES40_CBC_SHA",
    0x0004: "RSA_WITH_RC4_128_MD5",
    0x0005: "RSA_WITH_RC4_128_SHA",
    0xC007: "ECDHE_ECDSA_WITH_RC4_128_SHA",
    0xC011: "ECDHE_RSA_WITH_RC4_128_SHA",
    0x0009: "RSA_WITH_DES_CBC_SHA",
    0x0015: "DHE_RSA_WITH_DES_CBC_SHA",
    0x000A: "RSA_WITH_3DES_EDE_CBC_SHA",
    0x0016: "DHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0xC008: "ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA",
    0xC012: "ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    0x0018: "DH_anon_WITH_RC4_128_MD5",
    0x001B: "DH_anon_WITH_3DES_EDE_CBC_SHA",
    0x0034: "DH_anon_WITH_AES_128_CBC_SHA",
    0x003A: "DH_anon_WITH_AES_256_CBC_SHA",
    0x006C: "DH_anon_WITH_AES_128_CBC_SHA256",
    0x006D: "DH_anon_WITH_AES_256_CBC_SHA256",
    0x00A6: "DH_anon_WITH_AES_128_GCM_SHA256",
    0x00A7: "DH_anon_WITH_AES_256_GCM_SHA384",
    0xC015: "ECDH_anon_WITH_NULL_SHA",
    0xC016: "ECDH_anon_WITH_RC4_128_SHA",
    0xC017: "ECDH_anon_WITH_3DES_EDE_CBC_SHA",
    0xC018: "ECDH_anon_WITH_AES_128_CBC_SHA",
    0xC019: "ECDH_anon_WITH_AES_256_CBC_SHA",
}
#: What servers of every age choose from: RSA, DHE and ECDHE with AES, Camellia and ChaCha20.
COMMON_SUITES = (
    *(0x002F, 0x0035, 0x003C, 0x003D, 0x009C, 0x009D, 0x0033, 0x0039, 0x0067, 0x006B, 0x009E, 0x009F, 0x0041, 0x0084),
    *(0xC009, 0xC00A, 0xC013, 0xC014, 0xC023, 0xC024, 0xC027, 0xC028, 0xC02B, 0xC02C, 0xC02F, 0xC030),
    *(0xCCA8, 0xCCA9, 0xCCAA, 0xC09C, 0xC09D, 0xC09E, 0xC09F, 0xC0AC, 0xC0AD),
)
_TLS13_SUITES = (0x1301, 0x1302, 0x1303)
_GROUPS = (29, 23, 24, 25, 30, 256, 257)  # x25519, secp256r1, secp384r1, secp521r1, x448, ffdhe2048, ffdhe3072
_SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601, 0x0203, 0x0201, 0x0807)
_HANDSHAKE, _ALERT, _SERVER_HELLO = 22, 21, 2
#: Level of an alert, and the description that ends the connection at any level (RFC 5246, 7.2).
_WARNING, _CLOSE_NOTIFY = b"\x01", b"\x00"
_SUPPORTED_VERSIONS = 43


@dataclass(frozen=True)
class HelloAnswer:
    """What a server answered: ``version`` and ``suite`` that it chose, or the number of its ``alert``; without both
    it ended the connection. ``words`` says it for people."""

    version: int | None = None
    suite: int | None = None
    alert: int | None = None

    @property
    def words(self) -> str:
        """For people."""
        if self.version is not None:
            return f"{VERSIONS.get(self.version, hex(self.version))}, suite 0x{self.suite:04X}"
        return f"alert {self.alert}" if self.alert is not None else "connection ended"


def ask(at: tuple[str, int], version: int, suites: Sequence[int], *, name: str, seconds: float) -> HelloAnswer:
    """Send a ClientHello for one version and some suites; ``name`` is the server's, for the extension server_name.

    Raises:
        OSError: the server cannot be connected to, or does not answer within ``seconds``.
    """
    deadline = Deadline(seconds)
    with socket.create_connection(at, timeout=seconds) as connection:
        connection.sendall(client_hello(version, suites, name))
        stream = b""
        while (answer := parsed(stream)) is None:
            connection.settimeout(max(0.1, deadline.left))
            try:
                part = connection.recv(16384)
            except ConnectionResetError:
                return HelloAnswer()
            if not part or len(stream) > 2**17:
                return HelloAnswer()
            stream += part
        return answer


def offered(at: tuple[str, int], version: int, suites: Iterable[int], *, name: str, seconds: float) -> list[int]:
    """Those of ``suites`` that the server accepts with ``version``, in the order of its choice. Raises as ``ask``."""
    left, chosen = list(suites), []
    while left:
        answer = ask(at, version, left, name=name, seconds=seconds)
        if answer.version != version or answer.suite not in left:
            break
        left.remove(answer.suite)
        chosen.append(answer.suite)
    return chosen


def suites_for(version: int) -> tuple[int, ...]:
    """Suites with which it is asked whether a server offers a version."""
    if version == TLS13:
        return _TLS13_SUITES
    return tuple(TLCP_SUITES) if version == TLCP else (*COMMON_SUITES, *WEAK_SUITES)


def client_hello(version: int, suites: Sequence[int], name: str) -> bytes:
    """A record with one ClientHello (RFC 8446, 4.1.2)."""
    newest = version == TLS13
    legacy = TLS12 if newest else version
    session = secrets.token_bytes(32) if newest else b""
    body = struct.pack(">H", legacy) + secrets.token_bytes(32) + _short(session)
    body += _long(b"".join(struct.pack(">H", suite) for suite in suites)) + _short(b"\0")
    if version not in (SSL3, TLCP):  # these have no extensions
        body += _long(_extensions(version, suites, name))
    message = b"\x01" + struct.pack(">I", len(body))[1:] + body
    return struct.pack(">BH", _HANDSHAKE, TLCP if version == TLCP else min(legacy, TLS10)) + _long(message)


def parsed(stream: bytes) -> HelloAnswer | None:
    """What the beginning of a server's stream says; None where more of it is needed."""
    message = b""
    while len(stream) >= 5:
        kind, _, length = struct.unpack(">BHH", stream[:5])
        if kind not in (_HANDSHAKE, _ALERT):
            return HelloAnswer()
        if len(stream) < 5 + length:
            return None
        content, stream = stream[5 : 5 + length], stream[5 + length :]
        if kind == _ALERT and content[:1] == _WARNING and content[1:2] != _CLOSE_NOTIFY:
            continue  # such as unrecognized_name: the ServerHello may follow (RFC 5246, 7.2)
        if kind == _ALERT:
            return HelloAnswer(alert=content[1] if len(content) > 1 else None)
        message += content
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4]):
            return _server_hello(message)
    return None


def _server_hello(message: bytes) -> HelloAnswer:
    if message[0] != _SERVER_HELLO:
        return HelloAnswer()
    body = message[4 : 4 + int.from_bytes(message[1:4])]
    try:
        version = int.from_bytes(body[:2])
        at = 35 + body[34]
        suite = int.from_bytes(body[at : at + 2])
        rest = body[at + 5 :]
    except IndexError:
        return HelloAnswer()
    while len(rest) >= 4:
        kind, length = struct.unpack(">HH", rest[:4])
        if kind == _SUPPORTED_VERSIONS and length == 2:
            version = int.from_bytes(rest[4:6])
        rest = rest[4 + length :]
    return HelloAnswer(version=version, suite=suite)


def _extensions(version: int, suites: Sequence[int], name: str) -> bytes:
    national = any(suite in SM_SUITES for suite in suites)
    groups, signatures = ((_CURVE_SM2,), (_SM2_SM3,)) if national else (_GROUPS, _SIGNATURES)
    pairs = [
        (10, _long(b"".join(struct.pack(">H", group) for group in groups))),
        (11, _short(b"\0")),
        (13, _long(b"".join(struct.pack(">H", each) for each in signatures))),
    ]
    if not name.replace(".", "").isdigit() and ":" not in name:
        pairs.append((0, _long(b"\0" + _long(name.encode("idna")))))
    if version == TLS13:
        # No share of a key: the server chooses suite and group, and asks again (4.1.4). That is all that is needed.
        pairs += [(_SUPPORTED_VERSIONS, _short(struct.pack(">H", TLS13))), (51, _long(b"")), (45, _short(b"\x01"))]
    return b"".join(struct.pack(">H", kind) + _long(data) for kind, data in pairs)


def _short(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def _long(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data
