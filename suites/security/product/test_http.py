"""What the answers of the product's HTTP interface give away, and what they tell browsers."""

from __future__ import annotations

import re

import pytest

#: What begins a trace of calls in an answer, by the language that prints it.
TRACES = {
    "Python": "Traceback (most recent call last)",
    "Java": re.compile(r"^\s*at [\w.$]+\([\w.]+\.java:\d+\)", re.MULTILINE),
    "Java servlets": "javax.servlet.ServletException",
    "PHP": re.compile(r"(?:Fatal error|Warning|Parse error)</b>: .* on line <b>\d+"),
    ".NET": re.compile(r"^\s*at [\w.]+\(.*\) in .*:line \d+", re.MULTILINE),
    "Node.js": re.compile(r"^\s*at .*\((?:/|node:)[^)]*:\d+:\d+\)", re.MULTILINE),
    "Go": re.compile(r"^goroutine \d+ \[", re.MULTILINE),
    "Ruby": re.compile(r"\.rb:\d+:in [`']"),
}
#: Titles that servers give to the list of a folder's files.
LISTINGS = re.compile(r"<title>(?:Index of|Directory listing for|Directory: )|<h1>Index of /", re.IGNORECASE)
#: Requests that no product expects: an unknown path, quotes and brackets, a broken escape, a number that is none.
ODD = ("/no-such-path-4f1d", "/%22%3E%3Cscript%3E", "/%ff%fe", "/?id=%27%22%5B%5D&page=-1", "/..%2f..%2fetc/passwd")
#: Folders that web servers commonly have.
FOLDERS = ("/", "/static/", "/images/", "/css/", "/js/", "/assets/", "/uploads/", "/files/")


def test_answers_give_nothing_away(http, note):
    wrong = []
    for path in ODD:
        text = http.send("GET", path).text
        wrong += [f"GET {path}: a trace of {name} in the answer" for name, mark in TRACES.items() if _shows(mark, text)]
    assert not wrong, "; ".join(wrong)
    note(f"{len(ODD)} odd requests, no trace of calls in the answers / {len(ODD)} 个异常请求，应答中无调用栈")


def test_folders_are_not_listed(http, note):
    answers = {path: http.send("GET", path) for path in FOLDERS}
    wrong = [
        f"GET {path}: the files of a folder are listed"
        for path, answer in answers.items()
        if answer.status_code == 200 and LISTINGS.search(answer.text)
    ]
    assert not wrong, "; ".join(wrong)
    shown = ", ".join(f"{path} {answer.status_code}" for path, answer in answers.items())
    note(f"no list of files / 无目录列表: {shown}")


def test_trace_is_not_echoed(http, note):
    answer = http.send("TRACE", "/", headers={**http.good_headers(), "X-Probe": "4f1d-probe"})
    echoed = answer.status_code == 200 and "4f1d-probe" in answer.text
    assert not echoed, "TRACE is answered with the headers of the request"
    note(f"TRACE: status {answer.status_code}, no echo / 状态 {answer.status_code}，无回显")


def test_headers_protect_browsers(http, note):
    page = http.send("GET", "/")
    secure = http.definition.tls is not None
    html = page.is_success and "html" in page.headers.get("content-type", "")
    cookies = page.headers.get_list("set-cookie")
    if not (html or secure or cookies):
        pytest.skip(
            f"not-applicable: GET / gives no page in HTML, no cookie and no HTTPS (status {page.status_code}) / "
            f"GET / 无 HTML 页面、无 Cookie、非 HTTPS（状态 {page.status_code}）"
        )
    if re.search(r"\d", page.headers.get("server", "")):
        note(f"it names its version / 泄露版本: {page.headers['server']}")
    wrong = [*(_of_page(page.headers) if html else ()), *(_of_cookies(cookies, secure=secure))]
    if secure and "max-age" not in page.headers.get("strict-transport-security", "").lower():
        wrong.append("HTTPS without the header strict-transport-security (RFC 6797)")
    assert not wrong, f"GET /: {'; '.join(wrong)}"
    looked = [word for word, there in (("HTML", html), ("HTTPS", secure), ("cookies", cookies)) if there]
    note(f"headers are set for {', '.join(looked)} / 响应头齐全：{'、'.join(looked)}")


def _of_page(headers):
    policy = headers.get("content-security-policy", "").lower()
    if not policy:
        yield "its HTML lacks the header content-security-policy"
    if headers.get("x-content-type-options", "").strip().lower() != "nosniff":
        yield "its HTML lacks the header x-content-type-options: nosniff"
    if "frame-ancestors" not in policy and "x-frame-options" not in headers:
        yield "its HTML lacks the header x-frame-options, or frame-ancestors in content-security-policy"


def _of_cookies(cookies, *, secure):
    for cookie in cookies:
        name, *rest = cookie.split(";")
        marks = {each.strip().partition("=")[0].lower() for each in rest}
        wanted = ("httponly", "samesite", *(("secure",) if secure else ()))
        if lacking := [mark for mark in wanted if mark not in marks]:
            yield f"the cookie {name.partition('=')[0].strip()} lacks {', '.join(lacking)}"


def _shows(mark, text):
    return mark in text if isinstance(mark, str) else mark.search(text) is not None
