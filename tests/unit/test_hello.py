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
