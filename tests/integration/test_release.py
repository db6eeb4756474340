"""A release is the same wherever it is built; every package of the checkout is locked; what was not asked is said."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
spec = importlib.util.spec_from_file_location("release", ROOT / "setup" / "release.py")
assert spec is not None
assert spec.loader is not None
release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(release)

LOCKS = sorted((ROOT / "setup").glob("*.lock"))


def test_two_builds_of_a_tree_are_the_same(tmp_path: Path) -> None:
    """The second one in another folder, with other rights of its files."""
    first, second = (release.built(ROOT, tmp_path / name, umask=umask) for name, umask in (("a", 0o022), ("b", 0o077)))
    assert first == second
    assert sorted(name.rpartition(".")[2] for name in first) == ["gz", "whl"]
    (wheel,) = (tmp_path / "a").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    examples = {path.name for path in (ROOT / "examples").iterdir()}
    assert {name for name in examples if f"harness/_builtin/examples/{name}/README.md" not in names} == set()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_every_locked_package_has_hashes_and_no_address(lock: Path) -> None:
    entries = [entry for entry in re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8")) if not entry.startswith("#")]
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[A-Za-z0-9._-]+(\[[a-z,]+\])?==\S+", entry), entry.splitlines()[0]
        assert "--hash=sha256:" in entry
        assert "://" not in entry
        assert " @ " not in entry


def test_a_list_of_parts_without_a_package_of_the_lock_is_not_whole() -> None:
    lock = "a==1 \\\n    --hash=sha256:00\nb[c]==2.0 ; python_version < '4' \\\n    --hash=sha256:01\nd==3 \\\n"
    reference = {"externalReferences": [{"type": "distribution", "hashes": [{"alg": "SHA-256", "content": "00"}]}]}
    parts = [{"name": "a", "version": "1", **reference}, {"name": "b", "version": "2.0", **reference}]
    whole = [*parts, {"name": "d", "version": "3", **reference}]
    assert release.lacking(json.dumps({"components": whole}), lock) == []
    for last in ([], [{"name": "d", "version": "4", **reference}], [{"name": "d", "version": "3"}]):
        assert release.lacking(json.dumps({"components": [*parts, *last]}), lock) == ["d==3"]
    assert len(re.findall(r"(?m)^\S+==", (ROOT / "setup/python.lock").read_text())) == len(
        release.lacking("{}", (ROOT / "setup/python.lock").read_text())
    )


def test_the_locks_have_what_the_package_and_the_tests_ask_for() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = {
        "python.lock": [*project["dependencies"], *lines("python.in")],
        "tests.lock": [*project["dependencies"], *project["optional-dependencies"]["test"], *lines("tests.in")],
        "release.lock": lines("release.in"),
    }
    for name, wanted in asked.items():
        known = set(re.findall(r"(?m)^([A-Za-z0-9._-]+)", (ROOT / "setup" / name).read_text(encoding="utf-8")))
        missing = [each for each in wanted if plain(each) not in {plain(locked) for locked in known}]
        assert missing == [], f"{name}: next: make lock"


def lines(name: str) -> list[str]:
    text = (ROOT / "setup" / name).read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def plain(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


GOOD = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "CVE-1"}]}
SKIPPED = {"name": "c", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("answer", "told", "code"),
    [
        ([GOOD], "no vulnerability is known of 1 locked packages", 0),
        ([GOOD, SKIPPED], "could not check 1 of 2 packages: c", 0),
        ([], "could not check 0 of 0 packages", 0),
        ([BAD, SKIPPED], "known vulnerabilities: b 2: CVE-1; could not check 1 of 2 packages", 1),
        (None, "could not check, there is no answer: timed out", 0),
    ],
)
def test_a_question_without_answer_is_no_good_answer(answer: Any, told: str, code: int) -> None:
    out = "" if answer is None else json.dumps({"dependencies": answer})
    text, given = release.verdict(out, "words\ntimed out\n")
    assert text.startswith(told)
    assert given == code


def test_the_shell_of_the_setup_reads() -> None:
    for script in sorted((ROOT / "setup").glob("*.sh")):
        subprocess.run(["sh", "-n", str(script)], check=True)
