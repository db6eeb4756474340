"""Certificates that openssl makes and a server that is openssl, as vendors have them: RSA, texts before the PEM."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from harness.control.readiness import ask
from harness.control.tls import ProductTls
from harness.errors import HarnessError
from harness.model.context import Certificates
from harness.model.definitions import Http
from harness.system.wait import wait_until

NAME = "product.example"


def openssl(folder: Path, *words: str) -> str:
    done = subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority ``ca``, certificates ``good``, ``old`` (it is over), ``client``, each with a key as PKCS #1."""
    place = tmp_path_factory.mktemp("openssl")
    (place / "ca.cnf").write_text(
        "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nserial = serial\nnew_certs_dir = .\ndefault_md = sha256\n"
        "policy = any\ncopy_extensions = copy\n[any]\ncommonName = supplied\n"
    )
    (place / "index").touch()
    (place / "serial").write_text("01\n")
    new = ["req", "-newkey", "rsa:2048", "-nodes"]
    openssl(place, *new, "-x509", "-days", "30", "-subj", "/CN=Center", "-keyout", "ca.key", "-out", "ca.pem")
    for name, start, end in (
        ("good", "20200101000000Z", "20490101000000Z"),
        ("old", "20200101000000Z", "20210101000000Z"),
        ("client", "20200101000000Z", "20490101000000Z"),
    ):
        names = f"subjectAltName=DNS:{NAME}"
        openssl(place, *new, "-subj", f"/CN={name}", "-addext", names, "-keyout", f"{name}.p8", "-out", f"{name}.csr")
        openssl(place, "rsa", "-traditional", "-in", f"{name}.p8", "-out", f"{name}.key")
        signing = ["ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-startdate", start]
        openssl(place, *signing, "-enddate", end, "-in", f"{name}.csr", "-out", f"{name}.pem")
    return place


@contextmanager
def server(folder: Path, certificate: str, *options: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = ["-cert", f"{certificate}.pem", "-key", f"{certificate}.key", "-CAfile", "ca.pem"]
    argv = ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", *own, "-www", "-quiet", *options]
    process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _listens(port), seconds=20, what="openssl's server")
        yield port
    finally:
        process.kill()
        process.wait()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def answer(folder: Path, port: int, *, client: bool, name: str = NAME) -> str:
    """What readiness says of the server; empty where it is ready, and a fault of the definition with its cause."""
    tls: dict[str, Any] = {"name": name, "authority": {"file": "ca.pem"}}
    if client:
        tls["client"] = {"certificate": "client.pem", "key": "client.key"}
    application = SimpleNamespace(
        http=Http.model_validate({"port": "web", "tls": tls}),
        ports={"web": 443},
        serves=True,
        readiness=SimpleNamespace(path="/", command=None, status=(200,)),
    )
    files = {file: SecretStr((folder / file).read_text()) for file in ("ca.pem", "client.pem", "client.key")}
    context: Any = SimpleNamespace(
        application=application, certificates=Certificates(files=files), ports={"web": ("127.0.0.1", port)}, factor=1.0
    )
    machine: Any = None
    ways = ProductTls.of(context, machine)
    seen = ask(context, machine, ways, lambda path: f"https://127.0.0.1:{port}{path}", dict)
    if seen.wrong is not None:
        return f"{seen.wrong.cause}: {seen.wrong.message}"
    return "" if seen.ready else seen.explained(context, ways)[0]


def test_a_server_of_openssl_is_verified(folder: Path) -> None:
    with server(folder, "good") as port:
        assert answer(folder, port, client=False) == ""
        assert "for another name than other.example (product.example)" in answer(
            folder, port, client=False, name="other.example"
        )
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://127.0.0.1:{port}/", trust_env=False)
    with server(folder, "old") as port:
        assert "has expired (valid from 2020-01-01 to 2021-01-01)" in answer(folder, port, client=False)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_server_of_openssl_demands_a_certificate(folder: Path, version: str) -> None:
    with server(folder, "good", "-Verify", "1", "-verify_return_error", version) as port:
        assert answer(folder, port, client=True) == ""
        absent = answer(folder, port, client=False)
        known = absent.startswith("config: the product demands a client's certificate")
        assert known or "or demands a client's certificate" in absent


def test_a_key_with_a_passphrase_is_refused_and_none_is_asked_for(folder: Path) -> None:
    openssl(folder, "rsa", "-aes128", "-passout", "pass:secret", "-in", "client.key", "-out", "locked.key")
    tls = {"authority": {"file": "ca.pem"}, "client": {"certificate": "client.pem", "key": "locked.key"}}
    files = {file: SecretStr((folder / file).read_text()) for file in ("ca.pem", "client.pem", "locked.key")}
    application = SimpleNamespace(http=Http.model_validate({"port": "web", "tls": tls}), ports={"web": 443})
    context: Any = SimpleNamespace(application=application, certificates=Certificates(files=files))
    machine: Any = None
    ways = ProductTls.of(context, machine)
    assert ways is not None
    with pytest.raises(HarnessError, match=r"http\.tls cannot be used") as refused:
        ways.context()
    assert refused.value.cause == "config"
