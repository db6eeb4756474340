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
CAREFUL: dict[str, Any] = {
    "application": "careful",
    "name": {"zh": "谨慎", "en": "Careful"},
    "vendor": "Example",
    "version": "1.0",
    "needs": ["python3"],
    "user": "nobody",
    "secrets": ["password"],
    "artifacts": [{"path": "careful.py", "install": "copy", "to": "/opt/careful/careful.py", "mode": "0644"}],
    "start": "exec python3 /opt/careful/careful.py",
    "ready": {"path": "/health", "seconds": 20},
    "ports": {"web": 8080},
    "http": {"port": "web"},
    "limits": {"memory": "128m", "cpus": 1, "processes": 64},
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
    ), found
    ports = found["SEC-01"]["detail"]
    assert "TCP port 9999" in ports
    assert "UDP port 9998" in ports
    assert "9997" not in ports  # its own machine alone reaches it
    assert "8080" not in ports
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
    folder = product(tmp_path / "p", CAREFUL, database=["none"], suites=["security/product"])
    shutil.copy(Path(__file__).with_name("careful.py"), folder)
    found = cases(harness("run", folder, "--format", "json"))
    assert {name: found[name]["result"] for name in found if name != "cell"} == {
        "SEC-01": "pass",
        "SEC-02": "pass",
        "SEC-03": "pass",
        "SEC-04": "pass",
        "SEC-05": "pass",
        "SEC-06": "pass",
        "SEC-07": "pass",
        "SEC-08": "pass",
    }, found
    assert "TCP port 8080" in found["SEC-01"]["detail"]
    assert found["cell"]["verdict"] == "conformant"
