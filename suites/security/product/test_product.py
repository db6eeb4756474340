"""What the running product lays open: ports, permissions, secrets, root's rights, and what its answers give away."""

from __future__ import annotations

import re

import pytest

from harness.control.exposure import Exposure

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
#: What an answer in HTML should say to browsers; without these it is noted.
HEADERS = ("content-security-policy", "x-content-type-options", "x-frame-options")


@pytest.fixture
def exposure(application, installation):
    return Exposure(application, installation)


def test_open_ports_are_declared(target, exposure, note):
    sockets = exposure.open_sockets()
    if sockets is None:
        pytest.skip("capability: it is not known which sockets of the machine are the product's own")
    tcp, udp = sockets
    declared = set(target.application.ports.values())
    more = [f"TCP {each}" for each in tcp if each.port not in declared]
    more += [f"UDP {each}" for each in udp if each.port not in declared]
    assert not more, f"the product listens where it does not declare it (ports): {', '.join(more)}"
    shown = ", ".join([*(f"TCP {each}" for each in tcp), *(f"UDP {each}" for each in udp)]) or "none"
    note(f"open and declared / 开放且已声明: {shown}")


def test_permissions_of_files(exposure, measure, note):
    files = exposure.files()
    if not files:
        pytest.skip("not-applicable: the product has no file on this machine")
    measure("files", len(files), "1")
    writable, rights = exposure.loose_files()
    wrong = [f"everybody may write to {each}" for each in writable]
    wrong += [f"{each} runs with the rights of its owner or group" for each in rights]
    assert not wrong, "; ".join(wrong[:20])
    note(
        f"none of {len(files)} files is writable for everybody, setuid or setgid / 无人人可写、setuid 或 setgid 的文件"
    )


def test_secrets_are_not_laid_open(exposure, note):
    lines = exposure.secrets_in_processes()
    assert not lines, f"every user of the machine reads a secret in its list of processes: {'; '.join(lines)}"
    files = exposure.secrets_in_files()
    assert not files, f"everybody may read files with a secret in them: {', '.join(files)}"
    note("no secret of the cell stands in a command line or in a file that everybody may read / 未泄露机密")


def test_runs_without_the_rights_of_root(target, exposure, note):
    processes = exposure.processes()
    low = sorted(port for port in target.application.ports.values() if port < 1024)
    root = [words for user, words in processes.values() if user == 0]
    if root and low:
        note(f"runs as root, and declares ports below 1024: {low} / 以 root 运行，且声明了 1024 以下的端口")
        return
    assert not root, f"runs as root without need: {'; '.join(line[:120] for line in root[:5])}"
    note(f"{len(processes)} processes, none of root / {len(processes)} 个进程，均非 root")


def test_answers_give_nothing_away(http, note):
    wrong = []
    for path in ODD:
        text = http.send("GET", path).text
        wrong += [f"GET {path}: a trace of {name} in the answer" for name, mark in TRACES.items() if _shows(mark, text)]
    for path in ("/", "/static/", "/images/", "/css/"):
        answer = http.send("GET", path)
        if answer.status_code == 200 and LISTINGS.search(answer.text):
            wrong.append(f"GET {path}: the files of a folder are listed")
    trace = http.send("TRACE", "/", headers={"X-Probe": "4f1d-probe"})
    if trace.status_code == 200 and "4f1d-probe" in trace.text:
        wrong.append("TRACE is answered with the headers of the request")
    assert not wrong, "; ".join(wrong)
    page = http.send("GET", "/")
    lacking = [name for name in HEADERS if name not in page.headers]
    if "html" in page.headers.get("content-type", "") and lacking:
        note(f"its HTML lacks the headers / 其页面缺少响应头: {', '.join(lacking)}")
    if re.search(r"\d", page.headers.get("server", "")):
        note(f"it names its version / 泄露版本: {page.headers['server']}")
    note("no trace of calls, no list of files, no TRACE / 无调用栈、无目录列表、不应答 TRACE")


def _shows(mark, text):
    return mark in text if isinstance(mark, str) else mark.search(text) is not None
