"""Code of a vendor that is imported on the machine of the harness: suites, locustfiles, playbooks."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.clients.vendor import open_vendor
from harness.control.deployment import Deployment
from harness.deploy.playbooks import run_playbook
from harness.errors import DefinitionError, InfrastructureError
from harness.model.definitions import Playbook, VendorResource
from harness.model.machine import MachineReference
from harness.model.results import Cause, Result
from harness.reading.collection import collected
from harness.runners.pytest.run import run_pytest
from harness.runners.sandboxed import Sandboxes
from harness.system import sandbox as sandbox_module
from harness.system.process import run
from harness.system.sandbox import Sandbox, read_untrusted
from tests.hostile.conftest import Prey
from tests.suite_runs import Kept, context, located

TELL = """
import json, pathlib, sys
sys.path.insert(0, str(pathlib.Path(__file__).parent))
import attempts
"""


def names(folder: Path) -> list[str]:
    """All attempts, as the copy in a folder has them."""
    code = "import attempts; print('\\n'.join(attempts.attempts()))"
    return run([sys.executable, "-c", code], timeout=60, cwd=folder, env={"PYTHONPATH": str(folder)}).out.splitlines()


def suite_of(folder: Path, *tests: str) -> dict[str, Any]:
    """Run tests of a folder as a campaign runs a vendor's suite; gives the ledger and what was observed."""
    suite, ledger = located(folder, *tests), Kept()
    kept: Any = ledger
    with contextlib.closing(Sandboxes()) as sandboxes:
        seen = run_pytest(
            suite,
            suite.definition.cases,
            context(folder),
            kept,
            threading.Event(),
            None,
            sandboxes,  # type: ignore[arg-type]
        )
    return {
        "files": ledger.files,
        "seen": {case.test: one for case, one in zip(suite.definition.cases, seen, strict=True)},
    }


def test_a_suite_takes_nothing_of_the_machine(prey: Prey, tmp_path: Path) -> None:
    """Every attempt is made when its files are imported, by its conftest.py, and by a test."""
    folder = tmp_path / "vendor"
    prey.into(folder)
    (folder / "conftest.py").write_text(f"{TELL}\nEARLY = attempts.taken()\n")
    (folder / "test_all.py").write_text(
        f"{TELL}\nimport conftest\n"
        "def test_all(keep):\n"
        "    keep('names', json.dumps(list(attempts.attempts())))\n"
        "    keep('loot', json.dumps([conftest.EARLY, attempts.taken()]))\n"
    )
    done = suite_of(folder, "test_all")
    assert done["seen"]["test_all"].result is Result.PASS, done["seen"]["test_all"].detail
    assert len(json.loads(done["files"]["T-0-names"][0])) >= 40
    assert json.loads(done["files"]["T-0-loot"][0]) == [{}, {}]
    assert prey.untouched()
    assert not list(tmp_path.rglob("planted*"))


def test_without_a_sandbox_the_same_attempts_take_much(prey: Prey, tmp_path: Path) -> None:
    """So the test above is able to fail."""
    folder = tmp_path / "vendor"
    prey.into(folder)
    code = "import attempts, json; F = attempts.PREY['files']; print(json.dumps([n for n in F if attempts.read(F[n])]))"
    done = run([sys.executable, "-c", code], timeout=60, cwd=folder, env={"PYTHONPATH": str(folder)})
    assert len(json.loads(done.out)) == 5
    assert "reach a port of another cell" in names(folder)


def test_a_folder_takes_nothing_while_its_tests_are_listed(prey: Prey, tmp_path: Path) -> None:
    """Lint imports files whose tests cannot be read in them."""
    folder = tmp_path / "vendor"
    prey.into(folder)
    (folder / "conftest.py").write_text("")
    (folder / "test_all.py").write_text(
        f"{TELL}\nLOOT = attempts.taken()\ndef test_ok(): pass\nif LOOT:\n    def test_loot(): pass\n"
    )
    assert [test.names[-1] for test in collected(folder).tests] == ["test_ok"]
    assert prey.untouched()


def test_a_load_generator_takes_nothing(prey: Prey, tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    prey.into(folder)
    (folder / "locustfile.py").write_text(f"{TELL}\nraise SystemExit('LOOT ' + json.dumps(attempts.taken()))\n")
    driver = Path(sandbox_module.__file__).parents[1] / "runners" / "locust" / "driver.py"
    with Sandbox(folder) as box:
        spec, out = box.place / "spec.json", box.place / "out.json"
        spec.write_text(
            json.dumps(
                {"locustfile": str(folder / "locustfile.py"), "host": "http://127.0.0.1:9", "rate": 1, "ramp": 0}
                | {"hold": 1, "users": 1, "out": str(out), "log": str(box.place / "log")}
            )
        )
        box.give(spec)
        run(box.command([sys.executable, "-P", str(driver), str(spec)]), timeout=120)
        assert "LOOT {}" in json.loads(read_untrusted(out, 2**20) or b"{}")["broken"]
    assert prey.untouched()


CLASS = """
EARLY = attempts.taken()
class Notes:
    def __init__(self, application): ...
    create = update = delete = read = lambda self, *_: None
    def texts(self, key):
        return [json.dumps([EARLY, attempts.taken()]), *attempts.attempts()]
"""


def test_a_resource_takes_nothing(prey: Prey, tmp_path: Path) -> None:
    """A class of the vendor, which shipped suites ask, on import and when it is called."""
    folder = tmp_path / "vendor"
    prey.into(folder / "own")
    (folder / "own" / "notes.py").write_text(TELL + CLASS)
    declared = VendorResource(python="own/notes.py:Notes")
    plain = context(folder)
    application = plain.application.model_copy(update={"resource": declared})
    deployment = Deployment.of(plain.model_copy(update={"application": application}))
    with contextlib.closing(open_vendor(deployment, declared)) as resource:
        loot, *tried = resource.texts("key")
    assert len(tried) >= 40
    assert json.loads(loot) == [{}, {}]
    assert prey.untouched()
    assert not list(tmp_path.rglob("planted*"))


PLAYBOOK = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - copy: {content: "{{ lookup('pipe', 'cat HOME 2>&1; true') }}", dest: PLACE/piped}
    - command: sh -c "cat HOME; echo $HARNESS_PASSPHRASE"
      register: took
      ignore_errors: true
    - fail: {msg: "LOOT {{ took.stdout }} {{ lookup('env', 'HARNESS_PASSPHRASE') }}"}
"""
CALLBACK = """
import pathlib
from ansible.plugins.callback import CallbackBase
class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, 'aggregate', 'planted'
    def __init__(self):
        super().__init__()
        try:
            pathlib.Path('PLACE/planted').write_text(pathlib.Path('HOME').read_text())
        except OSError:
            pass
"""


def test_a_playbook_takes_nothing(prey: Prey, tmp_path: Path) -> None:
    """By a play on this machine, lookups, ansible.cfg and a plugin beside it."""
    folder, home = tmp_path / "vendor", prey.values["files"]["in a home"]
    (folder / "callback_plugins").mkdir(parents=True)
    (folder / "ansible.cfg").write_text("[defaults]\ncallbacks_enabled=planted\ncallback_plugins=callback_plugins\n")
    for name, text in (("site.yml", PLAYBOOK), ("callback_plugins/planted.py", CALLBACK)):
        (folder / name).write_text(text.replace("HOME", home).replace("PLACE", str(tmp_path)))
    deployment = Deployment.of(context(folder))
    with pytest.raises(Exception) as caught:  # noqa: PT011  # whatever it ends by
        run_playbook(deployment, Playbook(playbook="site.yml"))
    assert "playbook" in str(caught.value)
    assert "what-a-vendor-must-not-see" not in f"{caught.value} {getattr(caught.value, 'log', '')}"
    assert not (tmp_path / "planted").exists()
    assert not (tmp_path / "piped").exists()
    assert prey.untouched()


def test_a_suite_that_ends_all_it_can_reach_hurts_itself_alone(prey: Prey, tmp_path: Path) -> None:
    """Two runs at once: one ends every process that it may, and the other's goes on."""
    for name in ("vendor", "other"):
        prey.into(tmp_path / name)
    (tmp_path / "vendor" / "test_it.py").write_text(
        "import os, time\ndef test_it():\n    time.sleep(1)\n    os.kill(-1, 9)\n    time.sleep(60)\n"
    )
    (tmp_path / "other" / "test_it.py").write_text("import time\ndef test_it(): time.sleep(4)\n")
    seen: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda n=name: seen.update({n: suite_of(tmp_path / n, "test_it")["seen"]["test_it"]}))
        for name in ("vendor", "other")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert seen["other"].result is Result.PASS, seen["other"].detail
    assert (seen["vendor"].result, seen["vendor"].cause) == (Result.MISS, Cause.TEST)


def test_what_a_suite_leaves_running_ends_with_it(prey: Prey, tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    prey.into(folder)
    marker = f"7{tmp_path.stat().st_ino}.5"
    (folder / "test_it.py").write_text(
        f"import subprocess\ndef test_it(): subprocess.Popen(['sleep', '{marker}'], start_new_session=True)\n"
    )
    assert suite_of(folder, "test_it")["seen"]["test_it"].result is Result.PASS
    assert marker not in run(["ps", "-eo", "args"], timeout=30).out


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_name_that_a_sandbox_wrote_leads_nowhere(prey: Prey, tmp_path: Path, kind: str) -> None:
    """What this process reads of a sandbox is a file of the sandbox's own."""
    make = {"link": f"ln -s {prey.values['files']['with a key']} x", "pipe": "mkfifo x", "folder": "mkdir x"}[kind]
    with Sandbox(tmp_path / "home") as box:
        assert run(box.command(["sh", "-c", f"cd {box.place} && {make}"]), timeout=60).ok
        assert read_untrusted(box.place / "x", 100) is None


def test_no_sandbox_no_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where this machine has none, what would run in one does not run at all."""
    (tmp_path / "conftest.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    for place in ("harness.system.sandbox", "harness.reading.collection"):
        monkeypatch.setattr(f"{place}.obstacle", lambda: "no namespaces")
    with pytest.raises(DefinitionError, match="no namespaces"):
        collected(tmp_path)
    with pytest.raises(InfrastructureError, match="no namespaces"):
        suite_of(tmp_path, "test_it")
    deployment: Any = SimpleNamespace(
        context=SimpleNamespace(template_folder=tmp_path, values=dict, factor=1.0),
        machine=SimpleNamespace(reference=MachineReference(kind="local", name="x")),
        outlet=lambda: contextlib.nullcontext([]),
    )
    with pytest.raises(InfrastructureError, match="no namespaces"):
        run_playbook(deployment, Playbook(playbook="site.yml"))
    assert not (tmp_path / "ran").exists()
