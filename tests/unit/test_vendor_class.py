"""A resource that is a class of the vendor: what it gives, what it breaks, and what lint says of it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from pydantic import ValidationError

from harness.campaigns.foreign import foreign_code
from harness.clients.calling import Calls, load
from harness.clients.resource import NoAnswer, ProductResource
from harness.clients.vendor import VendorClient
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import DefinitionError, SuiteError
from harness.model.definitions import Application, VendorResource
from harness.planning.expansion import expand
from harness.reading.read import read
from tests.products import WEB, product

NOTES = """
from harness.control.fault import ProductFault

made = []

class Notes:
    def __init__(self, application):
        self.application, self.closed = application, False
        made.append(self)

    def create(self, key, text):
        if key == "refused":
            raise ProductFault("it is full", "已满")
        if key == "gone":
            raise ConnectionResetError("reset")
        if key == "broken":
            raise KeyError("broken")
        if key == "exit":
            raise SystemExit(3)
        self.application.store[key] = text

    update = create

    def read(self, key):
        return self.application.store.get(key)

    def delete(self, key):
        del self.application.store[key]

    def texts(self, key):
        return [self.read(key)]

    def refused(self, action, key, text):
        return action != "read"

    def close(self):
        self.closed = True
"""
DEFINITION = VendorResource(python="notes.py:Notes", stored="SELECT '{{ key }}'")


class Product:
    """A deployment that stores, and knows how often it was started."""

    def __init__(self, code: int | None = None) -> None:
        self.store: dict[str, str] = {}
        self.starts, self.code = 0, code

    def exit_code(self) -> int | None:
        return self.code

    def ended(self, code: int) -> ProductFault:
        return ProductFault(f"it ended with {code}", "已退出")


def written(folder: Path, text: str = NOTES) -> Path:
    (folder / "notes.py").write_text(text)
    return folder / "notes.py"


def resource(folder: Path, deployment: Product) -> tuple[VendorClient, Any]:
    kind = load(written(folder), "Notes")
    calls = Calls(kind, cast(Deployment, deployment))
    return VendorClient(cast(Deployment, deployment), DEFINITION, calls), kind.__init__.__globals__["made"]


def test_a_class_is_a_resource_as_suites_ask_it(tmp_path: Path) -> None:
    vendors, _ = resource(tmp_path, Product())
    asked: ProductResource = vendors
    with asked.made("text") as first, asked.made("another") as second:
        assert first != second
        assert asked.texts(first) == ["text"]
        asked.update(first, "changed")
        assert asked.texts(first) == ["changed"]
        assert asked.remains(second) == "gave another"
    assert asked.remains(first) == ""
    with pytest.raises(ProductFault, match="gives no resource"):
        asked.read(first)
    assert asked.try_create("refused", "text") == "it is full"
    assert asked.try_create("kept", "text") == ""
    assert asked.knows_strangers
    assert [asked.let_in(action, "kept", "") for action in ("create", "read")] == ["", "was not refused"]
    assert asked.stored("k") == "SELECT 'k'"


def test_a_connection_that_is_lost_is_no_answer_and_the_next_call_has_a_new_instance(tmp_path: Path) -> None:
    deployment = Product()
    asked, made = resource(tmp_path, deployment)
    asked.create("kept", "text")
    with pytest.raises(NoAnswer):
        asked.try_create("gone", "text")
    assert made[0].closed
    asked.create("again", "text")
    assert len(made) == 2
    deployment.starts += 1  # the product was started again: connections of before are good for nothing
    asked.create("later", "text")
    assert [each.closed for each in made] == [True, True, False]
    deployment.code = 137
    with pytest.raises(ProductFault, match="it ended with 137"):
        asked.create("gone", "text")


def test_a_service_that_was_started_alone_makes_connections_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Suites start a service by itself and then wait for the product."""
    readiness = SimpleNamespace(seconds=1.0)
    context: Any = SimpleNamespace(application=SimpleNamespace(readiness=readiness), factor=1.0)
    deployment = Deployment(context, cast(Any, None), {})
    monkeypatch.setattr(Deployment, "is_ready", lambda _: True)
    monkeypatch.setattr(Deployment, "exit_code", lambda _: None)
    before = deployment.starts
    deployment.wait_ready()
    assert deployment.starts > before


@pytest.mark.parametrize("key", ["broken", "exit"])
def test_a_class_that_is_broken_says_nothing_of_the_product(tmp_path: Path, key: str) -> None:
    asked, _ = resource(tmp_path, Product())
    with pytest.raises(SuiteError, match=r"Notes\.create of the application's resource is broken") as broken:
        asked.create(key, "text")
    assert broken.value.cause == "test"
    assert "notes.py" in str(broken.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise RuntimeError('no')", "cannot be imported"),
        ("import sys; sys.exit(1)", "cannot be imported"),
        ("class Others: pass", "has no class Notes"),
        ("class Notes:\n    def create(self): ...", "has no read and no update"),
    ],
)
def test_a_class_that_cannot_be_used_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SuiteError, match=words):
        load(written(tmp_path, text), "Notes")


@pytest.mark.parametrize(("method", "value"), [("texts", "'a text'"), ("texts", "[1]"), ("refused", "'yes'")])
def test_values_of_another_shape_are_refused(tmp_path: Path, method: str, value: str) -> None:
    arguments = "self, key" if method == "texts" else "self, action, key, text"
    text = NOTES + f"\nclass Odd(Notes):\n    def {method}({arguments}): return {value}\n"
    calls = Calls(load(written(tmp_path, text), "Odd"), cast(Deployment, Product()))
    with pytest.raises(SuiteError, match=f"Odd.{method} gives"):
        calls(method, 0, *arguments.split(", ")[1:])


def folder_of(root: Path, python: str, text: str = NOTES) -> Path:
    folder = product(root, {**WEB, "resource": {"python": python}}, suites=["compat/http"])
    path = folder / python.partition(":")[0]
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("python", "text", "words"),
    [
        ("notes.py:Other", NOTES, "notes.py has no class Other"),
        ("notes.py:Notes", "class Notes:\n    def create(self, key, text): ...\n", "has no read, no update"),
        ("notes.py:Notes", "class :", "not valid Python"),
        ("notes.py:Notes", "x = " + "-" * 100_000 + "1", "not valid Python"),
        ("notes.py:Notes", "x = " + "1+" * 300_000 + "1", "not valid Python"),
        ("../notes.py:Notes", NOTES, "outside the folder"),
    ],
)
def test_lint_looks_at_the_class_without_running_it(tmp_path: Path, python: str, text: str, words: str) -> None:
    with pytest.raises(DefinitionError, match=words):
        read(folder_of(tmp_path / "p", python, text))


def test_the_class_is_named_before_a_run_with_all_that_it_may_import(tmp_path: Path) -> None:
    named = {}
    for number, python in enumerate(("notes.py:Notes", "own/notes.py:Notes")):
        folder = folder_of(tmp_path / str(number), python)
        beside = folder / python.partition(":")[0]
        beside.with_name("other.py").write_text("x = 1")
        for text in ("x = 1", "x = 2"):
            beside.with_name("other.py").write_text(text)
            definitions = read(folder)
            (code,) = foreign_code(definitions, expand(definitions).cells)
            assert code.kind == "resource"
            named[python, text] = (code.path.name, code.digest)
    assert named["notes.py:Notes", "x = 1"] == named["notes.py:Notes", "x = 2"]
    assert named["own/notes.py:Notes", "x = 1"] != named["own/notes.py:Notes", "x = 2"]
    assert {name for name, _ in named.values()} == {"notes.py", "own"}


def test_declarations_that_cannot_be_meant() -> None:
    for python in ("notes.py", "notes:Notes", "notes.py:", "a.py:B.c"):
        with pytest.raises(ValidationError):
            VendorResource(python=python)
    both = {**WEB, "http": {"port": "web", "resource": None}, "resource": {"python": "a.py:B"}}
    assert Application.model_validate(both).has_resource
    request = SimpleNamespace(one={"method": "GET", "path": "/"}).one
    actions = dict.fromkeys(("create", "read", "update", "delete"), request)
    both["http"] = {"port": "web", "resource": {"key": "k", "stored": "s", **actions}}
    with pytest.raises(ValidationError, match="which one is meant"):
        Application.model_validate(both)
