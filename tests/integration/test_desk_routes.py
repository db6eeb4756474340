"""Every route of the desk, asked as every role, as another organisation and as nobody; none is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.routing import APIRoute

from tests.databases import cluster
from tests.desks import FORM, PEOPLE, Desk, desk

EVERYBODY = frozenset({"nobody", "administrator", *PEOPLE})
PEOPLE_ALL = EVERYBODY - {"nobody"}
APPLICANTS = frozenset({"applicant", "stranger"})
CENTER = PEOPLE_ALL - APPLICANTS
OF_IT = CENTER | {"applicant"}  #: who may see the application of the test
WORKERS = frozenset({"applicant", "tester", "reviewer", "approver"})
PROPOSERS = frozenset({"reviewer", "approver"})
ADMINISTRATOR, AUDIT = frozenset({"administrator"}), frozenset({"administrator", "auditor"})

#: Method and path -> who is let through. ``stranger`` is an applicant of another organisation.
PAGES: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "/"): EVERYBODY,
    ("GET", "/applications"): PEOPLE_ALL,
    ("GET", "/applications/new"): APPLICANTS,
    ("POST", "/applications"): APPLICANTS,
    ("GET", "/applications/{identity}"): OF_IT,
    ("GET", "/applications/{identity}/edit"): frozenset({"applicant"}),
    ("POST", "/applications/{identity}"): frozenset({"applicant"}),
    ("GET", "/applications/{identity}/cells"): OF_IT,
    ("GET", "/applications/{identity}/artifacts"): OF_IT,
    ("POST", "/applications/{identity}/artifacts"): frozenset({"applicant"}),
    ("GET", "/applications/{identity}/artifacts/{number}"): OF_IT,
    ("POST", "/applications/{identity}/steps"): WORKERS,
    ("GET", "/applications/{identity}/papers/{kind}"): frozenset(),  # there are none of a draft
    ("GET", "/issued"): CENTER,
    ("GET", "/issued/{number}"): CENTER,
    ("POST", "/issued/{number}/changes"): PROPOSERS,
    ("POST", "/issued/{number}/changes/{identity}"): frozenset({"approver"}),  # the reviewer did not propose it
    ("GET", "/login"): EVERYBODY,
    ("POST", "/login"): EVERYBODY,
    ("POST", "/logout"): PEOPLE_ALL,
    ("GET", "/password"): PEOPLE_ALL,
    ("POST", "/password"): PEOPLE_ALL,
    ("GET", "/language/{language}"): EVERYBODY,
    ("GET", "/people"): ADMINISTRATOR,
    ("POST", "/organisations"): ADMINISTRATOR,
    ("POST", "/people"): ADMINISTRATOR,
    ("POST", "/people/{identity}/active"): ADMINISTRATOR,
    ("GET", "/tokens"): PEOPLE_ALL,
    ("POST", "/tokens"): PEOPLE_ALL,
    ("POST", "/tokens/{identity}/end"): frozenset(),  # it is nobody's here
    ("GET", "/audit"): AUDIT,
    ("GET", "/certificates"): EVERYBODY,
    ("GET", "/certificates.json"): EVERYBODY,
    ("GET", "/certificates/{number}"): frozenset(),  # none was issued here
    ("GET", "/certificates/{number}/{name}"): frozenset(),
    ("GET", "/verify"): EVERYBODY,
    ("POST", "/verify"): EVERYBODY,
    ("GET", "/register/{name}"): frozenset(),
    ("GET", "/static/{name}"): EVERYBODY,
    ("GET", "/healthz"): EVERYBODY,
}
API: dict[tuple[str, str], frozenset[str]] = {
    ("GET", "/api/v1/applications"): PEOPLE_ALL,
    ("POST", "/api/v1/applications"): APPLICANTS,
    ("GET", "/api/v1/applications/{identity}"): OF_IT,
    ("PUT", "/api/v1/applications/{identity}"): frozenset({"applicant"}),
    ("POST", "/api/v1/applications/{identity}/steps"): frozenset(),  # the step of the test leads from nowhere
    ("PUT", "/api/v1/applications/{identity}/artifacts/{name}"): frozenset({"applicant"}),
    ("GET", "/api/v1/applications/{identity}/artifacts/{number}"): OF_IT,
    ("GET", "/api/v1/applications/{identity}/cells"): OF_IT,
    ("GET", "/api/v1/applications/{identity}/papers/{kind}"): frozenset(),
    ("POST", "/api/v1/organisations"): ADMINISTRATOR,
    ("GET", "/api/v1/people"): ADMINISTRATOR,
    ("POST", "/api/v1/people"): ADMINISTRATOR,
    ("GET", "/api/v1/audit"): AUDIT,
    ("GET", "/api/v1/certificates"): EVERYBODY,
    ("GET", "/api/v1/certificates/{number}"): frozenset(),
    ("GET", "/api/v1/issued"): CENTER,
    ("GET", "/api/v1/certificates/{number}/changes"): OF_IT,
    ("POST", "/api/v1/certificates/{number}/changes"): PROPOSERS,
    ("POST", "/api/v1/certificates/{number}/changes/{identity}"): frozenset({"approver"}),
    ("POST", "/api/v1/verify"): EVERYBODY,
}
#: What refuses: not logged in, not for this role, not there for this organisation, not now.
REFUSED = (401, 403, 404, 409)
FORMS: dict[str, dict[str, Any]] = {
    "/organisations": {"name": ""},
    "/applications/{identity}/steps": {"action": "none"},
    "/password": {"old": "x"},
    "/issued/{number}/changes": {"kind": "suspend"},  # without words: whoever may is told what is missing
    "/issued/{number}/changes/{identity}": {"decision": "refused"},
}
BODIES: dict[str, Any] = {
    "/api/v1/applications": FORM,
    "/api/v1/applications/{identity}": FORM,
    "/api/v1/applications/{identity}/steps": {"action": "none"},
    "/api/v1/organisations": {"name": " "},
    "/api/v1/certificates/{number}/changes": {"kind": "suspend"},
    "/api/v1/certificates/{number}/changes/{identity}": {"decision": "refused"},
    "/api/v1/people": {"organisation": 0, "account": "x", "name": "x", "roles": ["tester"]},
}


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with cluster() as server, desk(tmp_path_factory.mktemp("desk"), server.database()) as made:
        yield made


@pytest.fixture(scope="module")
def filled(there: Desk) -> dict[str, str]:
    """Values for the words in paths: an application of ``applicant`` with an artifact, and a certificate of theirs with
    a proposal that waits."""
    application = there.application()
    there.artifact(application)
    number = there.sql("SELECT id FROM desk.uploads WHERE application = %s", application)[0][0]
    place = there.office.folder / "artifacts" / str(number)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"<script>")
    there.certificate("XC-1")
    other = there.person("another", "reviewer")
    with there.office.desk.acting(other) as connection:
        statement = (
            "INSERT INTO desk.status_changes (certificate, kind, source, reason, opinion) "
            "VALUES ('XC-1', 'suspend', 'active', 'r', 'o') RETURNING id"
        )
        change = connection.exec_driver_sql(statement).scalar_one()
    values = {"identity": application, "number": number, "kind": "report", "language": "en", "change": change}
    return {name: str(value) for name, value in values.items()}


def path_of(template: str, filled: dict[str, str]) -> str:
    names = {**filled, "name": "desk.css" if template.startswith("/static") else "a.bin"}
    if "/people/" in template or "/tokens/" in template:
        names["identity"] = "99999" if "/tokens/" in template else "1"
    if "/certificates/" in template:
        names["number"] = "XC-NONE"
    if "/issued/" in template or "/changes" in template:
        names |= {"number": "XC-1", "identity": filled["change"]}
    return template.format(**names)


def test_no_route_is_left_out(there: Desk) -> None:
    router = {
        (method, route.path)
        for route in routes_of(there.app.routes)
        for method in route.methods or ()
        if route.path != "/api/v1/openapi.json"
    }
    assert router == set(PAGES) | set(API)


def routes_of(routes: Any) -> Iterator[APIRoute]:
    """The routes of the application; some releases of FastAPI keep those of a router below it."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif hasattr(route, "effective_route_contexts"):
            yield from route.effective_route_contexts()
        elif hasattr(route, "routes"):
            yield from routes_of(route.routes)


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_pages_let_through_whom_they_are_for(there: Desk, filled: dict[str, str], who: str) -> None:
    wrong = {}
    for (method, template), allowed in PAGES.items():
        asker, path = there.browser(who), path_of(template, filled)
        files = {"artifact": ("a.txt", b"x")} if template.endswith("/artifacts") else None
        files = {"file": ("a.txt", b"x")} if template == "/verify" and method == "POST" else files
        more = {"files": files} if files else {}
        answer = asker.get(path) if method == "GET" else asker.send(path, FORMS.get(template, {}), **more)
        away = answer.status_code in REFUSED or answer.headers.get("location", "").startswith("/login?")
        if template in ("/login", "/applications/{identity}/steps", "/people/{identity}/active"):
            # A password that does not fit, a step that leads nowhere, oneself: the page itself says so.
            away = answer.status_code in (403, 404) or "location" in answer.headers
        if (not away) != (who in allowed) or answer.status_code >= 500:
            wrong[method, template] = answer.status_code
    assert wrong == {}


@pytest.mark.parametrize("who", sorted(EVERYBODY))
def test_the_api_lets_through_whom_it_is_for(there: Desk, filled: dict[str, str], who: str) -> None:
    wrong = {}
    for (method, template), allowed in API.items():
        path = path_of(template, filled)
        body = {"json": BODIES[template]} if template in BODIES and method != "GET" else {"content": b"x"}
        answer = there.program(who).ask(method, path, **(body if method != "GET" else {}))
        if (answer.status_code not in REFUSED) != (who in allowed) or answer.status_code >= 500:
            wrong[method, template] = (answer.status_code, answer.text[:100])
    assert wrong == {}


def test_a_token_of_the_api_does_no_more_than_its_scope(there: Desk, filled: dict[str, str]) -> None:
    for method, template in API:
        path = path_of(template, filled)
        reads, writes = there.program("applicant", "read"), there.program("applicant", "write")
        asker = writes if method == "GET" else reads
        public = "nobody" in API[method, template] or template.endswith("/certificates/{number}")
        answer = asker.ask(method, path, **({"json": BODIES.get(template)} if template in BODIES else {}))
        assert (answer.status_code == 403) != public, (method, template, answer.text)


def test_no_form_is_taken_without_the_token_of_its_session(there: Desk, filled: dict[str, str]) -> None:
    for method, template in PAGES:
        if method == "POST":
            asker, other = there.browser("administrator"), there.browser("administrator")
            path = path_of(template, filled)
            for token in ("", "x", other.cookie):
                answer = asker.post(path, data={"token": token})
                assert answer.status_code == 403, (template, token)
            assert asker.send(path, headers={"Origin": "http://evil.example"}).status_code == 403, template


def test_an_api_is_not_reached_by_a_cookie_and_a_page_not_by_a_token(there: Desk) -> None:
    assert there.browser("administrator").get("/api/v1/people").status_code == 401
    assert there.program("administrator").get("/people").headers["location"].startswith("/login?")


def test_every_answer_has_the_headers_of_a_strict_page(there: Desk, filled: dict[str, str]) -> None:
    for who in ("nobody", "administrator", "applicant"):
        for method, template in (*PAGES, *API):
            if method != "GET":
                continue
            asker = there.program(who) if template.startswith("/api") else there.browser(who)
            answer = asker.get(path_of(template, filled))
            policy = answer.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "default-src 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            text = answer.text if answer.headers.get("content-type", "").startswith("text/html") else ""
            assert " style=" not in text
            assert "<style" not in text
            assert " onclick" not in text
            assert text.count("<script") == text.count('<script src="/static/')
            assert "http://" not in text.replace(str(there.client.base_url), "")


def test_what_a_vendor_sent_comes_back_as_bytes_alone(there: Desk, filled: dict[str, str]) -> None:
    for asker, prefix in ((there.browser("tester"), ""), (there.program("tester"), "/api/v1")):
        answer = asker.get(f"{prefix}/applications/{filled['identity']}/artifacts/{filled['number']}")
        assert answer.content == b"<script>"
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment;")
        assert answer.headers["content-security-policy"].startswith("sandbox")
