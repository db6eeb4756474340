"""What a product lays open is named, each fault by its case; a product without faults fails none."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.products import product

LEAKY: dict[str, Any] = {
    "application": "leaky",
    "name": {"zh": "泄露", "en": "Leaky"},
    "vendor": "Example",
    "version": "1.0",
    "packages": ["python3"],
    "secrets": ["token"],
    "artifacts": [
        {"path": "leaky.py", "install": "copy", "to": "/opt/leaky/leaky.py", "mode": "0666"},
        {"path": "leaky.py", "install": "copy", "to": "/opt/leaky/tool 工具.py", "mode": "0755"},
    ],
    "start": "chmod 4755 '/opt/leaky/tool 工具.py' && exec python3 /opt/leaky/leaky.py {{ secrets.token }}",
    "ready": {"path": "/health", "seconds": 20},
    "ports": {"web": 8080},
    "http": {"port": "web"},
    "limits": {"memory": "128m", "cpus": 1, "processes": 64},
}
LOGIN = {"method": "POST", "path": "/login", "body": {"user": "{{ user }}", "password": "{{ password }}"}}
TOKEN = {"token": {"pointer": "/token"}}
CAREFUL: dict[str, Any] = {
    "application": "careful",
    "name": {"zh": "谨慎", "en": "Careful"},
    "vendor": "Example",
    "version": "1.0",
    "needs": ["python3"],
    "user": "nobody",
    "secrets": ["admin", "guest"],
    "setup": ["install -d -o nobody /var/log/careful"],
    "artifacts": [{"path": "careful.py", "install": "copy", "to": "/opt/careful/careful.py", "mode": "0644"}],
    "start": "exec python3 /opt/careful/careful.py",
    "environment": {
        "FAULTS": "{{ cell.faults | default('none') }}",
        "ADMIN": "{{ secrets.admin }}",
        "GUEST": "{{ secrets.guest }}",
    },
    "ready": {"path": "/health", "seconds": 20},
    "ports": {"web": 8080},
    "http": {
        "port": "web",
        "session": {
            "requests": [
                {**LOGIN, "body": {"user": "admin", "password": "{{ secrets.admin }}"}, "capture": TOKEN},
            ],
            "headers": {"Authorization": "Bearer {{ session.token }}"},
        },
        "resource": {
            "key": "n{{ n }}",
            "create": {"method": "PUT", "path": "/notes/{{ key }}", "body": {"text": "{{ text }}"}},
            "read": {"method": "GET", "path": "/notes/{{ key }}"},
            "update": {"method": "PUT", "path": "/notes/{{ key }}", "body": {"text": "{{ text }}"}},
            "delete": {"method": "DELETE", "path": "/notes/{{ key }}"},
        },
    },
    "accounts": {
        "login": LOGIN | {"capture": TOKEN},
        "users": [
            {"name": "admin", "password": "{{ secrets.admin }}", "defaults": ["admin123", "123456"]},
            {"name": "guest", "password": "{{ secrets.guest }}"},
        ],
        "wrong_passwords": {"after": 4, "then": "locked", "seconds": 3},
    },
    "audit": {
        "file": "/var/log/careful/audit.log",
        "login": "user={{ user }} login$",
        "refused": "user={{ user }} login refused",
        "create": "user=admin create {{ key }}$",
        "update": "user=admin update {{ key }}$",
        "delete": "user=admin delete {{ key }}$",
    },
    "limits": {"memory": "128m", "cpus": 1, "processes": 64},
}
#: What does not apply to products without HTTPS, packages of the system, and data of vulnerabilities or malware.
SKIPPED = ("SEC-13", "SEC-14", "SEC-15", "SEC-16", "SEC-17", "SEC-18", "SEC-19", "SEC-20")
#: Faults that are in the product, the case that names them, and the words. Those of a cell are of different cases.
SEEDED = {
    "empty patient silent": {
        "SEC-09": "admin is let in with an empty password",
        "SEC-10": "guest is still let in (POST /login gave status 200): it is not locked",
        "SEC-11": "does not record who did what: create: no new line matches user=admin create n",
    },
    "default brief talkative": {
        "SEC-09": "admin is let in with the default password admin123",
        "SEC-10": "the lock of guest ended after",
        "SEC-11": "/var/log/careful/audit.log holds a wrong password",
    },
}


def cases(ran: Any) -> dict[str, Any]:
    record = json.loads(Path(ran.json["outputs"]["json"]).read_text())
    (cell,) = record["cells"]
    return {case["id"]: case for case in cell["cases"] if case["suite"] == "security/product"} | {"cell": cell}


def test_each_fault_is_named_by_its_case(harness: Run, tmp_path: Path) -> None:
    folder = product(tmp_path / "p", LEAKY, database=["none"], suites=["security/product"])
    shutil.copy(Path(__file__).with_name("leaky.py"), folder / "leaky.py")
    found = cases(harness("run", folder, "--format", "json"))
    assert {name: found[name]["result"] for name in found if name != "cell"} == dict.fromkeys(
        (f"SEC-{number:02}" for number in range(1, 9)), "fail"
    ) | dict.fromkeys((*SKIPPED, "SEC-09", "SEC-10", "SEC-11"), "skip") | {
        "SEC-12": "pass",
        "SEC-14": "pass",
        "SEC-21": "fail",
    }, found
    ports = found["SEC-01"]["detail"]
    assert "TCP port 9999" in ports
    assert "UDP port 9998" in ports
    assert "9997" not in ports  # its own machine alone reaches it
    assert "8080" not in ports
    assert found["SEC-21"]["detail"].startswith(
        "another machine reaches ports that the product does not declare (ports): TCP 9996, TCP 9999, UDP 9998"
    )
    assert "everybody may write to /opt/leaky/leaky.py (666)" in found["SEC-02"]["detail"]
    assert "/opt/leaky/tool 工具.py (4755) runs with the rights" in found["SEC-02"]["detail"]
    assert "leaky.py ***" in found["SEC-03"]["detail"]
    assert "runs as root without need: python3 /opt/leaky/leaky.py" in found["SEC-04"]["detail"]
    assert "a trace of Python in the answer" in found["SEC-05"]["detail"]
    assert "GET /static/: the files of a folder" in found["SEC-06"]["detail"]
    assert "TRACE is answered" in found["SEC-07"]["detail"]
    for words in ("lacks the header content-security-policy", "the cookie leak lacks httponly, samesite"):
        assert words in found["SEC-08"]["detail"]
    assert found["cell"]["verdict"] == "nonconformant"


def test_a_secret_in_a_file_is_named_where_the_command_line_shows_none(harness: Run, tmp_path: Path) -> None:
    """Two faults in a case would hide the second."""
    quiet = {
        **LEAKY,
        "start": "exec env python3 - </opt/leaky/run.py",
        "templates": [
            {"template": "run.py.j2", "path": "/opt/leaky/run.py", "mode": "0600"},
        ],
    }
    folder = product(tmp_path / "p", quiet, database=["none"], suites=["security/product"])
    source = Path(__file__).with_name("leaky.py").read_text().replace("sys.argv[1]", '"{{ secrets.token }}"')
    (folder / "run.py.j2").write_text(source)
    (folder / "leaky.py").write_text("# nothing\n")
    found = cases(harness("run", folder, "--format", "json", "--case", "SEC-03"))
    assert found["SEC-03"]["result"] == "fail", found["SEC-03"]
    assert "everybody may read files with a secret in them: /var/lib/leaky/state 状态.txt" in found["SEC-03"]["detail"]


def test_a_product_without_faults_fails_nothing(harness: Run, tmp_path: Path) -> None:
    """And the same product fails the right case for each fault that is put into it."""
    folder = product(
        tmp_path / "p",
        CAREFUL,
        database=["none"],
        suites=["security/product"],
        axes={"faults": ["none", *SEEDED]},
    )
    shutil.copy(Path(__file__).with_name("careful.py"), folder)
    ran = harness("run", folder, "--format", "json")
    cells = {
        cell["axes"]["faults"]: cell for cell in json.loads(Path(ran.json["outputs"]["json"]).read_text())["cells"]
    }
    of = {
        faults: {case["id"]: case for case in cell["cases"] if case["suite"] == "security/product"}
        for faults, cell in cells.items()
    }
    assert {name for name, case in of["none"].items() if case["result"] != "pass"} == {*SKIPPED}, of["none"]
    assert {of["none"][name]["result"] for name in SKIPPED} == {"skip"}
    assert "could not check: the matrix gives no `vulnerabilities`" in of["none"]["SEC-13"]["detail"]
    assert "TCP port 8080" in of["none"]["SEC-01"]["detail"]
    assert "reached from another machine / 其他机器可达的端口: TCP 8080" in of["none"]["SEC-21"]["detail"]
    assert "the right one was refused" in of["none"]["SEC-10"]["detail"]
    assert cells["none"]["verdict"] == "conformant"
    for faults, named in SEEDED.items():
        assert {name for name, case in of[faults].items() if case["result"] not in ("pass", "skip")} == set(named), of[
            faults
        ]
        for name, words in named.items():
            assert words in of[faults][name]["detail"], of[faults][name]
        assert cells[faults]["verdict"] == "nonconformant"
