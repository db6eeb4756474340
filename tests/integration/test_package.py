"""A delivery package: the same bytes each time, no archive above its limit, and every change of it is told."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.certify.steps import Status, status_of
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.issuing.delivering import deliver
from harness.model.package import INDEX, SUMS
from harness.verification.checking import check
from harness.verification.packages import check_package, is_package
from tests.integration.test_signing import Signed, edit, invoke
from tests.integration.test_signing import made as made  # a fixture
from tests.trusts import trust_file, trust_in


def packed(made: Signed, folder: Path, limit: int = 50 * 2**20, **how: object) -> list[Path]:
    return deliver(made.folder.name, Workspace(made.workspace), folder, limit=limit, **how)


def checked(made: Signed, place: Path) -> tuple[Status, dict[str, str]]:
    trust = trust_in(made.keys)
    steps = check_package(place, lambda folder: check(folder, trust))
    return status_of(steps), {step.name: step.detail for step in steps}


def rewritten(path: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The archive with other members."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def test_a_package_is_the_same_each_time_and_verifies(made: Signed, tmp_path: Path) -> None:
    scan = tmp_path / "签字页 1.PNG"
    scan.write_bytes(b"\x89PNG")
    (one,) = packed(made, tmp_path / "a", further=(scan,))
    (again,) = packed(made, tmp_path / "b", further=(scan,))
    assert one.name == again.name
    assert made.folder.name in one.name
    assert one.read_bytes() == again.read_bytes()
    with zipfile.ZipFile(one) as archive:
        names = archive.namelist()
        record = json.loads(archive.read("campaign.json"))
    assert {"report.pdf", "certificate.pdf", "adaptation.dsse.json", "further/签字页-1.PNG", INDEX, SUMS} <= set(names)
    kept = sum(len(cell["files"]) for cell in record["cells"])
    assert sum(name.startswith("evidence/") for name in names) >= kept > 0
    done = invoke("verify", one, "--trust", trust_file(tmp_path / "trust", trust_in(made.keys)), "--format", "json")
    assert done.exit_code == 0, done.output
    steps = {step["name"]: step["detail"] for step in json.loads(done.stdout)["steps"]}
    assert steps[one.name] == f"{len(names) - 2} files as listed"
    assert "report.pdf" in steps


def test_parts_stay_below_the_limit_and_belong_together(made: Signed, tmp_path: Path) -> None:
    whole = sum(path.stat().st_size for path in packed(made, tmp_path / "whole"))
    limit = whole * 2 // 3
    parts = packed(made, tmp_path / "parts", limit=limit)
    assert len(parts) > 1
    assert all(part.stat().st_size <= limit for part in parts)
    assert [part.name.rpartition("-")[2] for part in parts] == [
        f"{n}of{len(parts)}.zip" for n in range(1, len(parts) + 1)
    ]
    for part in parts:
        assert checked(made, part)[0] is Status.VALID
        with zipfile.ZipFile(part) as archive:
            archive.extractall(tmp_path / part.stem)
        subprocess.run(
            ["sha256sum", "--check", "--strict", SUMS], cwd=tmp_path / part.stem, check=True, capture_output=True
        )
    parts[1].rename(tmp_path / parts[1].name)
    status, steps = checked(made, parts[0])
    assert status is Status.COULD_NOT_CHECK
    assert steps[parts[1].name] == "this part is not beside the other"
    with pytest.raises(UsageError, match="bytes in an archive, and the limit is 20000"):
        packed(made, tmp_path / "small", limit=20_000)


CHANGES: dict[str, tuple[Callable[[dict[str, bytes]], None], str]] = {
    "another file": (lambda m: m.update({"report.html": m["report.html"] + b" "}), "report.html is not the file"),
    "a file more": (lambda m: m.update({"evidence/x": b"1"}), "evidence/x is not in the list"),
    "a file less": (lambda m: m.pop("junit.xml") and None, "junit.xml is missing"),
    "no list of sums": (lambda m: m.pop(SUMS) and None, f"{SUMS} is missing"),
    "a list of another form": (
        lambda m: m.update({INDEX: m[INDEX].replace(b'"form": 1', b'"form": 2')}),
        "cannot be read",
    ),
    "a path out of it": (
        lambda m: m.update({INDEX: m[INDEX].replace(b'"junit.xml"', b'"../junit.xml"')}),
        "cannot be read",
    ),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_told(made: Signed, tmp_path: Path, change: Callable[[dict[str, bytes]], None], words: str) -> None:
    (one,) = packed(made, tmp_path)
    rewritten(one, change)
    status, steps = checked(made, one)
    assert status is Status.INVALID
    assert words in "; ".join(steps.values())


def test_a_list_that_was_made_to_fit_does_not_help(made: Signed, tmp_path: Path) -> None:
    """Who changes evidence can change the list of digests; the record, which is signed, names it by its own."""
    (one,) = packed(made, tmp_path)

    def forge(members: dict[str, bytes]) -> None:
        record = json.loads(members["campaign.json"])
        kept = {file["sha256"] for cell in record["cells"] for file in cell["files"]}
        name = next(
            n for n, data in members.items() if n.startswith("evidence/") and hashlib.sha256(data).hexdigest() in kept
        )
        before, members[name] = members[name], members[name] + b"all good\n"
        index = json.loads(members[INDEX])
        for member in index["parts"][0]["members"]:
            if member["sha256"] == hashlib.sha256(before).hexdigest():
                member.update(sha256=hashlib.sha256(members[name]).hexdigest(), size=len(members[name]))
        members[INDEX] = json.dumps(index).encode()

    rewritten(one, forge)
    status, steps = checked(made, one)
    assert status is Status.INVALID
    assert "that the record names are not in it" in steps["evidence in the package"]


def test_what_is_not_signed_or_left_out_is_not_called_valid(made: Signed, tmp_path: Path) -> None:
    (one,) = packed(made, tmp_path / "a", evidence=False)
    status, steps = checked(made, one)
    assert status is Status.COULD_NOT_CHECK
    assert steps["evidence in the package"] == "it was left out of the package"
    bare = Signed(Path(shutil.copytree(made.workspace, tmp_path / "ws")), made.keys)
    for name in ("adaptation.dsse.json", "test-result.dsse.json", "certificate-lines.dsse.json"):
        (bare.folder / name).unlink()
    with pytest.raises(UsageError, match="is missing"):
        packed(bare, tmp_path / "b")
    assert invoke("report", "--workspace", bare.workspace).exit_code == 0
    (unsigned,) = packed(bare, tmp_path / "b")
    status, steps = checked(bare, unsigned)
    assert status is Status.COULD_NOT_CHECK
    assert "nothing in it is signed" in steps["signature"]
    edit(bare.folder / "report.html", b"<html", b"<HTML")
    with pytest.raises(UsageError, match="nothing is packed"):
        packed(bare, tmp_path / "c")


@pytest.mark.parametrize("place", range(0, 100, 9))
def test_a_damaged_archive_ends_in_an_answer(made: Signed, tmp_path: Path, place: int) -> None:
    (one,) = packed(made, tmp_path)
    data = bytearray(one.read_bytes())
    at = len(data) * place // 100
    data[at : at + 40] = bytes(each ^ 0xA5 for each in data[at : at + 40])
    one.write_bytes(data)
    if is_package(one):
        assert checked(made, one)[0] is not Status.VALID
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("a", "b")
    one.write_bytes(other.getvalue())
    assert not is_package(one)
