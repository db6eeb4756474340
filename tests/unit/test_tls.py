"""HTTPS with a product: who verifies it by what, whose failure a wrong certificate is, and what a stranger is."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from harness.clients.http import HttpClient, TurnedAway
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.control.readiness import Answer, ask
from harness.control.tls import ProductTls
from harness.errors import UsageError
from harness.execution.certificates import certificates_of, made_for_cell
from harness.model.context import Certificates
from harness.model.definitions import Application, Http, Tls
from harness.system.tls import context_of
from tests.certificates import Authority, served

NAME = "product.example"


class Notes(BaseHTTPRequestHandler):
    """Answers with what it was asked; ``texts`` by path."""

    texts: dict[str, str] = {}  # noqa: RUF012
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        body = json.dumps({"host": self.headers["Host"], "text": self.texts.get(self.path, "")}).encode()
        self.send_response(200 if self.path == "/health" or self.path in self.texts else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self) -> None:
        self.texts[self.path] = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.do_GET()


RESOURCE: dict[str, Any] = {
    "key": "{{ n }}",
    "create": {"method": "PUT", "path": "/{{ key }}", "content": "{{ text }}"},
    "read": {"method": "GET", "path": "/{{ key }}"},
    "update": {"method": "PUT", "path": "/{{ key }}", "content": "{{ text }}"},
    "delete": {"method": "DELETE", "path": "/{{ key }}"},
    "stored": "SELECT 1",
}


class Machine:
    """A product's machine with files."""

    def __init__(self, **files: str) -> None:
        self.files = {f"/{name}": text for name, text in files.items()}

    def get(self, path: str) -> bytes:
        try:
            return self.files[path].encode()
        except KeyError:
            raise FileNotFoundError(path) from None


def product(port: int, tls: dict[str, Any], files: dict[str, Path], machine: Machine | None = None) -> Any:
    """A deployment whose product listens on a port of the loopback."""
    declared = {"name": NAME, **tls}
    application = SimpleNamespace(
        http=Http.model_validate({"port": "web", "tls": declared, "resource": RESOURCE}),
        ports={"web": 8443},
        serves=True,
        readiness=SimpleNamespace(path="/health", command=None, status=(200,)),
    )
    texts = {name: SecretStr(path.read_text()) for name, path in files.items()}
    context: Any = SimpleNamespace(
        application=application,
        certificates=Certificates(files=texts),
        ports={"web": ("127.0.0.1", port)},
        factor=1.0,
        values=dict,
    )
    return SimpleNamespace(
        context=context,
        tls=ProductTls.of(context, cast(Any, machine or Machine())),
        headers=dict,
        url=lambda path: f"https://127.0.0.1:{port}{path}",
        log=lambda lines=40: "",
        exit_code=lambda: None,
    )


@contextmanager
def client(deployment: Any) -> Iterator[HttpClient]:
    asked = HttpClient(cast(Deployment, deployment))
    yield asked
    asked.close()


def readiness(deployment: Any) -> Answer:
    return ask(deployment.context, cast(Any, Machine()), deployment.tls, deployment.url, dict)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def test_a_product_is_verified_by_its_name_whatever_its_address_is(authority: Authority) -> None:
    with served(Notes, authority.certificate("good", NAME)) as (port, _):
        deployment = product(port, {"authority": {"file": "ca.pem"}}, {"ca.pem": authority.file})
        assert readiness(deployment).ready
        with client(deployment) as asked:
            assert asked.send("GET", "/health").json()["host"] == f"{NAME}:8443"
            assert asked.send("GET", "/health", headers={"host": "own"}).json()["host"] == "own"
            assert asked.resource is not None
            with pytest.raises(ProductFault, match="gave status 404"):
                asked.resource.read("nothing")


@pytest.mark.parametrize(
    ("names", "days", "signer", "words"),
    [
        ([NAME], (-1, 10), "own", "its certificate has expired (valid from "),
        ([NAME], (20, -5), "own", "its certificate is not valid yet (valid from "),
        (["other.example", "127.0.0.1"], (20, 10), "own", f"for another name than {NAME} (other.example, 127.0.0.1)"),
        ([NAME], (20, 10), "other", "of an authority that http.tls.authority does not name (issuer CN=Other)"),
    ],
)
def test_a_wrong_certificate_is_the_products_failure(
    tmp_path: Path, authority: Authority, names: list[str], days: tuple[float, float], signer: str, words: str
) -> None:
    by = authority if signer == "own" else Authority(tmp_path / "other", "Other")
    until, since = days
    with served(Notes, by.certificate("wrong", *names, since=since, days=until)) as (port, _):
        deployment = product(port, {"authority": {"file": "ca.pem"}}, {"ca.pem": authority.file})
        answer = readiness(deployment)
        assert not answer.ready
        assert answer.wrong is None
        assert words.partition(" (")[0] in answer.words
        assert words in answer.explained(deployment.context, deployment.tls)[0]
        with client(deployment) as asked, pytest.raises(ProductFault) as failed:
            asked.send("GET", "/health")
        assert words in failed.value.en


def test_what_speaks_no_tls_is_said(authority: Authority) -> None:
    with served(Notes, authority.certificate("good", NAME)) as (port, context):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        deployment = product(port, {"authority": {"file": "ca.pem"}}, {"ca.pem": authority.file})
        deployment.tls.context().minimum_version = ssl.TLSVersion.TLSv1_3
        assert "no TLS connection" in readiness(deployment).words


def test_an_authority_that_is_over_is_the_definitions_fault(tmp_path: Path) -> None:
    old = Authority(tmp_path, "Old", days=-1)
    with served(Notes, old.certificate("good", NAME)) as (port, _):
        deployment = product(port, {"authority": {"file": "ca.pem"}}, {"ca.pem": old.file})
        answer = readiness(deployment)
        assert answer.wrong is not None
        assert answer.wrong.cause == "config"
        assert "the declared certificate of CN=Old is valid from" in str(answer.wrong)
        with client(deployment) as asked, pytest.raises(UsageError, match="CN=Old"):
            asked.send("GET", "/health")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_is_known_by_its_certificate(tmp_path: Path, authority: Authority, version: ssl.TLSVersion) -> None:
    files = {"ca.pem": authority.file, "client.pem": authority.certificate("client", "client")}
    tls = {"authority": {"file": "ca.pem"}, "client": {"certificate": "client.pem", "key": "client.pem"}}
    server = authority.certificate("good", NAME)
    with served(Notes, server, clients=authority.file, maximum_version=version) as (port, _):
        deployment = product(port, tls, files)
        assert readiness(deployment).ready
        with client(deployment) as asked:
            assert asked.resource is not None
            assert asked.resource.knows_strangers
            asked.resource.create("1", "text")
            assert asked.resource.let_in("read", "1", "") == ""
            with pytest.raises(TurnedAway):
                asked.send("GET", "/1", headers={})
            assert asked.send("GET", "/1", headers={"X": "y"}).status_code == 200, "other headers, the same client"
        other = Authority(tmp_path / "other", "Other")
        unknown = {**files, "client.pem": other.certificate("unknown", "client")}
        answer = readiness(product(port, tls, unknown))
        assert not answer.ready
        assert answer.wrong is None
        undeclared = product(port, {"authority": {"file": "ca.pem"}}, {"ca.pem": authority.file})
        assert not readiness(undeclared).ready


def test_a_stranger_who_is_let_in_is_a_failure(authority: Authority) -> None:
    files = {"ca.pem": authority.file, "client.pem": authority.certificate("client", "client")}
    tls = {"authority": {"file": "ca.pem"}, "client": {"certificate": "client.pem", "key": "client.pem"}}
    with served(Notes, authority.certificate("good", NAME)) as (port, _), client(product(port, tls, files)) as asked:
        assert asked.resource is not None
        asked.resource.create("1", "text")
        assert asked.resource.let_in("read", "1", "") == "gave 200, expected one of (401, 403)"


class Refusing(Notes):
    """Answers as servers do that want TLS, or a certificate."""

    words = ""

    def do_GET(self) -> None:
        self.send_response(400)
        self.send_header("Content-Length", str(len(self.words)))
        self.end_headers()
        self.wfile.write(self.words.encode())


@pytest.mark.parametrize(
    ("words", "secure", "expected"),
    [
        ("<center>The plain HTTP request was sent to HTTPS port</center>", False, "speaks HTTPS"),
        ("Client sent an HTTP request to an HTTPS server.\n", False, "speaks HTTPS"),
        ("Bad Request\nThis combination of host and port requires TLS.\n", False, "speaks HTTPS"),
        ("<center>No required SSL certificate was sent</center>", True, "demands a client's certificate"),
        ("<center>No required SSL certificate was sent</center>", False, ""),
        ("something else is wrong", True, ""),
    ],
)
def test_what_an_answer_says_of_missing_declarations(
    authority: Authority, words: str, secure: bool, expected: str
) -> None:
    page = type("Own", (Refusing,), {"words": words})
    with served(page, authority.certificate("good", NAME)) if secure else plain(page) as (port, _):
        deployment = product(port, {"authority": {"file": "ca.pem"}}, {"ca.pem": authority.file})
        if not secure:
            deployment.tls, deployment.url = None, lambda path: f"http://127.0.0.1:{port}{path}"
        answer = readiness(deployment)
    assert answer.words == "GET /health gave status 400"
    assert expected in str(answer.wrong) if expected else answer.wrong is None


@contextmanager
def plain(handler: type[BaseHTTPRequestHandler]) -> Iterator[tuple[int, None]]:
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port, None
        server.shutdown()
        thread.join()


def alert(name: str) -> httpx.ReadError:
    error = httpx.ReadError("failed")
    error.__cause__ = ssl.SSLError(1, f"[SSL: {name}] words (_ssl.c:1)")
    error.__cause__.reason = name  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize("name", ["TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_BAD_CERTIFICATE"])
def test_a_client_certificate_that_is_not_declared_is_the_definitions_fault(authority: Authority, name: str) -> None:
    undeclared = product(1, {"authority": {"file": "ca.pem"}}, {"ca.pem": authority.file})
    with pytest.raises(UsageError, match="declares none"):
        undeclared.tls.trouble(alert(name))


@pytest.mark.parametrize(("days", "words"), [(20, "though it shows the certificate"), (-1, "")])
def test_a_client_certificate_that_is_refused(authority: Authority, days: float, words: str) -> None:
    """The product's failure, unless the certificate that is declared is over."""
    files = {"ca.pem": authority.file, "client.pem": authority.certificate("client", "client", days=days)}
    tls = {"authority": {"file": "ca.pem"}, "client": {"certificate": "client.pem", "key": "client.pem"}}
    deployment = product(1, tls, files)
    if words:
        trouble = deployment.tls.trouble(alert("TLSV1_ALERT_UNKNOWN_CA"))
        assert words in trouble.en
        assert "unknown authority" in trouble.en
    else:
        with pytest.raises(UsageError, match="CN=client is valid from"):
            deployment.tls.trouble(alert("SSLV3_ALERT_CERTIFICATE_EXPIRED"))


def test_an_authority_of_the_machine_may_come_late_and_be_renewed(tmp_path: Path, authority: Authority) -> None:
    machine, second = Machine(), Authority(tmp_path / "second", "Second")
    with served(Notes, authority.certificate("good", NAME)) as (port, context):
        deployment = product(port, {"authority": {"machine": "/ca"}}, {}, machine)
        assert readiness(product(1, {"authority": {"machine": "/ca"}}, {}, machine)).wrong is None, (
            "it is not there yet"
        )
        late = readiness(deployment)
        assert late.wrong is not None
        assert "has no file /ca" in str(late.wrong)
        machine.files["/ca"] = "no certificate"
        assert readiness(deployment).wrong is not None
        machine.files["/ca"] = authority.file.read_text()
        assert readiness(deployment).ready
        with client(deployment) as asked:
            assert asked.send("GET", "/health").status_code == 200
            asked.client.headers["Connection"] = "close"
            asked.send("GET", "/health")
            context.load_cert_chain(second.certificate("renewed", NAME))
            assert not readiness(deployment).ready
            machine.files["/ca"] = second.file.read_text()
            assert [readiness(deployment).ready for _ in range(2)] == [False, True]
            assert asked.send("GET", "/health").status_code == 200, "a client that was made before"


def test_the_products_own_certificate_may_be_its_authority(tmp_path: Path) -> None:
    itself = Authority(tmp_path, NAME)
    issued = itself.certificate("leaf", NAME)
    with served(Notes, issued) as (port, _):
        leaf = issued.read_text().partition("-----BEGIN PRIVATE")[0]
        (tmp_path / "leaf-alone.pem").write_text(leaf)
        deployment = product(port, {"authority": {"file": "a"}}, {"a": tmp_path / "leaf-alone.pem"})
        assert readiness(deployment).ready


def test_authorities_that_a_client_library_adds_do_not_count(tmp_path: Path, authority: Authority) -> None:
    other = Authority(tmp_path / "other", "Other")
    context = context_of(NAME, authority.file.read_text())
    context.load_verify_locations(other.file)
    with served(Notes, other.certificate("other", NAME)) as (port, _), pytest.raises(httpx.ConnectError):
        httpx.get(f"https://127.0.0.1:{port}/health", verify=context, trust_env=False)


def test_what_is_made_for_a_cell_fits_together_and_no_other_cell() -> None:
    tls = Tls.model_validate({"name": NAME, "authority": {"cell": True}, "client": {"cell": True}})
    first, second = made_for_cell(tls), made_for_cell(tls)
    assert first.authority != second.authority
    for cell in (first, second):
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_verify_locations(cadata=cell.authority)
        server.verify_mode = ssl.CERT_REQUIRED
        _loaded(server, cell.certificate + cell.key.get_secret_value())
        shown = cell.client + cell.client_key.get_secret_value()
        assert _shakes(server, context_of(NAME, cell.authority, shown))
        assert not _shakes(server, context_of("elsewhere.example", cell.authority, shown))
    assert not _shakes(server, context_of(NAME, first.authority, shown)), "the second cell's product, the first's eyes"


def _loaded(context: ssl.SSLContext, pem: str) -> None:
    from harness.system.tls import _show

    _show(context, pem)


def _shakes(server: ssl.SSLContext, known: ssl.SSLContext) -> bool:
    """Whether both take each other, over memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        known.wrap_bio(to_client, to_server, server_hostname="whatever"),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    done = [False, False]
    for _ in range(10):
        for number, end in enumerate(ends):
            try:
                end.do_handshake()
                done[number] = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return False
    return all(done)


def test_keys_are_masked_line_by_line() -> None:
    tls = Tls.model_validate({"authority": {"cell": True}})
    certificates = Certificates(own=made_for_cell(tls))
    assert certificates.own is not None
    key = certificates.own.key.get_secret_value()
    assert {key, key.splitlines()[1]} <= set(certificates.hidden())
    assert certificates.values().keys() == {"authority", "certificate", "key", "client"}
    assert key not in repr(certificates)
    assert Certificates.model_validate_json(certificates.model_dump_json()) == certificates


def test_nothing_is_made_where_nothing_is_declared(tmp_path: Path) -> None:
    assert certificates_of((None,), tmp_path) == Certificates()
    assert Certificates().values() == {}


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"authority": {}}, "exactly one"),
        ({"authority": {"cell": True, "file": "a"}}, "exactly one"),
        ({"authority": {"cell": False}}, "authority"),
        ({"authority": {"machine": "ca.pem"}}, "machine"),
        ({"authority": {"cell": True}, "client": {"certificate": "a"}}, "certificate and key"),
        (
            {"authority": {"cell": True}, "client": {"certificate": "a", "key": "b", "cell": True}},
            "certificate and key",
        ),
        ({"authority": {"cell": True}, "name": "https://a"}, "name"),
        ({"authority": {"cell": True}, "verify": False}, "verify"),
    ],
)
def test_declarations_that_cannot_be_meant(tls: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Tls.model_validate(tls)


def test_an_address_is_https_where_it_is_declared() -> None:
    for tls, scheme in (({"authority": {"cell": True}}, "https"), (None, "http")):
        application = Application.model_validate(
            {
                "application": "a",
                "name": "A",
                "vendor": "V",
                "version": "1",
                "start": "run",
                "ready": {"path": "/"},
                "ports": {"web": 443},
                "http": {"port": "web", "base": "/b", "tls": tls},
            }
        )
        context: Any = SimpleNamespace(application=application, ports={"web": ("10.1.2.3", 443)})
        assert Deployment(context, cast(Any, None), {}).url("/x") == f"{scheme}://10.1.2.3:443/b/x"
