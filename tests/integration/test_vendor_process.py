"""A vendor's class runs in a process of its own: what reaches it, what comes back, and what it cannot say."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.clients import vendor
from harness.clients.resource import NoAnswer
from harness.clients.vendor import VendorClient, open_vendor
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import StepTimeout, SuiteError
from harness.model.definitions import Application
from tests.suite_runs import context

HEAD = """
import os, socket, threading, time
from pathlib import Path
from harness.control.fault import ProductFault
from harness.errors import InfrastructureError
from beside import STORE

class Notes:
    def __init__(self, application):
        self.application = application
    def create(self, key, text):
        STORE[key] = text
    update = create
    def read(self, key):
        return STORE.get(key)
    def delete(self, key):
        del STORE[key]
"""


@contextmanager
def served(folder: Path, texts: str, *, trusts: bool = False) -> Iterator[VendorClient]:
    """The class with a body of ``texts``, against this machine."""
    (folder / "own").mkdir()
    (folder / "own" / "beside.py").write_text("STORE = {}\n")
    body = textwrap.indent(textwrap.dedent(texts).strip(), "        ")
    (folder / "own" / "notes.py").write_text(f"{HEAD}\n    def texts(self, key):\n{body}\n")
    application = Application.model_validate(
        {
            "application": "tiny",
            "name": "Tiny",
            "vendor": "Example",
            "version": "1.0",
            "start": "sleep 60",
            "ready": {"command": "true"},
            "resource": {"python": "own/notes.py:Notes"},
        }
    )
    deployment = Deployment.of(context(folder, application=application, trusts_code=trusts))
    assert application.resource is not None
    resource = open_vendor(deployment, application.resource)
    try:
        yield resource
    finally:
        resource.close()


def test_calls_and_faults_come_through_and_threads_do_not_wait_for_each_other(tmp_path: Path) -> None:
    meeting = """
        if key == "silent":
            raise ConnectionRefusedError("nobody is there")
        if key == "full":
            raise ProductFault("it is full", "已满", "the log")
        if key == "machine":
            return [self.application.machine.run("echo of the cell").out.strip()]
        STORE.setdefault("meeting", threading.Barrier(3)).wait(timeout=30)
        return [STORE[key]]
    """
    with served(tmp_path, meeting) as resource, ThreadPoolExecutor(3) as pool:
        keys = [resource.fresh_key() for _ in range(3)]
        for key in keys:
            resource.create(key, f"文 {key}")
        resource.create("meeting", "")
        resource.delete("meeting")
        assert list(pool.map(resource.texts, keys)) == [[f"文 {key}"] for key in keys]
        with pytest.raises(ProductFault) as full:
            resource.texts("full")
        assert (full.value.en, full.value.zh, full.value.log) == ("it is full", "已满", "the log")
        with pytest.raises(NoAnswer, match="nobody is there"):
            resource.texts("silent")
        assert resource.texts("machine") == ["of the cell"]
        assert not resource.knows_strangers


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("os._exit(3)", "has ended"),
        ("os.kill(os.getpid(), 9)", "has ended"),
        ("raise InfrastructureError('the lab is down')", "the lab is down"),
        ("raise ValueError('broken')", "Notes.texts of the application's resource is broken"),
        ("return [1]", "gives a list of texts"),
    ],
)
def test_what_it_breaks_is_its_own_and_not_the_laboratorys(tmp_path: Path, body: str, words: str) -> None:
    with served(tmp_path, body) as resource, pytest.raises(SuiteError, match=words) as broken:
        resource.texts("key")
    assert broken.value.cause == "test"


def test_a_call_that_never_ends_is_no_failure_and_its_late_answer_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vendor, "CALL_SECONDS", 1.0)
    with served(tmp_path, "time.sleep(1.5 if key == 'slow' else 0)\nreturn [key]") as resource:
        with pytest.raises(StepTimeout, match="did not answer within 1 s"):
            resource.texts("slow")
        assert [resource.texts(key) for key in ("a", "b")] == [["a"], ["b"]]


def test_it_is_in_a_sandbox_unless_it_is_trusted(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("seen")
    look = f"p = Path({str(secret)!r})\nreturn [p.read_text() if p.exists() else 'nothing']"
    for number, trusts in enumerate((False, True)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with served(folder, look, trusts=trusts) as resource:
            assert resource.texts("key") == ["seen" if trusts else "nothing"]
