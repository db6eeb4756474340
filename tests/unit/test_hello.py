"""A ClientHello of this harness against real servers of OpenSSL, and answers that are none."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.clients import hello
from harness.system.wait import wait_until
from tests.certificates import Authority


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    """``openssl s_server`` with the arguments of the test; its place."""
    assert shutil.which("openssl"), "openssl is needed"
    pem = Authority(tmp_path).certificate("server", "notes.example")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-cert", str(pem), "-key", str(pem), "-quiet"]
    with subprocess.Popen([*command, *request.param], stdin=subprocess.PIPE) as process:

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        try:
            wait_until(listens, seconds=20, what="openssl s_server")
            yield "127.0.0.1", port
        finally:
            process.kill()


def speaks(at: tuple[str, int], version: int) -> bool:
    answer = hello.ask(at, version, hello.suites_for(version), name="notes.example", seconds=20)
    return answer.version == version


@pytest.mark.parametrize("server", [["-cipher", "ALL:eNULL:@SECLEVEL=0"]], indirect=True)
def test_a_server_of_old_settings_shows_them(server: tuple[str, int]) -> None:
    assert [version for version in hello.VERSIONS if speaks(server, version)] == [
        hello.TLS10,
        hello.TLS11,
        hello.TLS12,
        hello.TLS13,
    ]
    weak = hello.offered(server, hello.TLS12, hello.WEAK_SUITES, name="notes.example", seconds=20)
    assert {"ECDHE_ECDSA_WITH_NULL_SHA", "ECDH_anon_WITH_AES_128_CBC_SHA"} <= {hello.WEAK_SUITES[each] for each in weak}
    assert hello.offered(server, hello.TLS13, hello.SM_SUITES, name="notes.example", seconds=20) == []


@pytest.mark.parametrize("server", [["-no_tls1", "-no_tls1_1"]], indirect=True)
def test_a_server_of_good_settings_shows_nothing_weak(server: tuple[str, int]) -> None:
    assert [version for version in hello.VERSIONS if speaks(server, version)] == [hello.TLS12, hello.TLS13]
    assert hello.offered(server, hello.TLS12, hello.WEAK_SUITES, name="notes.example", seconds=20) == []
    assert hello.offered(server, hello.TLS12, hello.COMMON_SUITES, name="notes.example", seconds=20)
    refused = hello.ask(server, hello.TLCP, tuple(hello.TLCP_SUITES), name="notes.example", seconds=20)
    assert refused.version is None


@pytest.mark.parametrize("stream", [b"HTTP/1.1 400 Bad Request\r\n", b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00"])
def test_what_is_no_hello_chooses_nothing(stream: bytes) -> None:
    assert hello.parsed(stream) == hello.HelloAnswer()
    assert hello.parsed(stream[:3]) is None


@pytest.mark.parametrize(("alert", "goes_on"), [(b"\x01\x70", True), (b"\x01\x00", False), (b"\x02\x28", False)])
def test_a_warning_before_the_hello_is_passed_over(alert: bytes, goes_on: bool) -> None:
    """unrecognized_name is a warning (RFC 6066, 3); close_notify and what is fatal end it."""
    stream = b"\x15\x03\x03\x00\x02" + alert
    hello_of = bytes.fromhex(NATIONAL[hello.TLS13, "TLS_SM4_GCM_SM3"])
    answer = hello.parsed(stream + hello_of)
    assert answer == (hello.parsed(hello_of) if goes_on else hello.HelloAnswer(alert=alert[1]))


#: First records of a server by BabaSSL 8.3.2 (the library in the wheel tongsuopy 1.0.1) with SM2 certificates: for TLCP
#: its ServerHello, for TLS 1.3 its HelloRetryRequest, which asks for a share of curveSM2 (group 41).
NATIONAL = {
    (hello.TLCP, "ECDHE_SM4_CBC_SM3"): (
        "160101004a020000460101edf49f651d21683c773d9e3d350d423474ee23d2ed03d2b767e08e5c7c742adf20fad51cb21c6529b27893cb5"
        "398d9ddffff0ddac5f4d4fbd17f72a931e8ea6600e01100"
    ),
    (hello.TLS13, "TLS_SM4_GCM_SM3"): (
        "1603030058020000540303cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c209e1ea89d06c1e57e8df290e"
        "34253eaef8d8ea62347e38eb3723575cb8816cc6e00c600000c002b00020304003300020029"
    ),
}


@pytest.mark.parametrize(("version", "suite"), NATIONAL)
def test_answers_of_a_national_server_are_read(version: int, suite: str) -> None:
    stream = bytes.fromhex(NATIONAL[version, suite])
    answer = hello.parsed(stream)
    assert answer is not None
    assert answer.version == version
    assert {**hello.TLCP_SUITES, **hello.SM_SUITES}[answer.suite or 0] == suite
    assert all(hello.parsed(stream[:length]) is None for length in range(len(stream)))
