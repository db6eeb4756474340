"""A campaign packed into one file and run again from it, without network; what was changed on the way is refused."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import docker
import pytest

from tests.conftest import Run
from tests.products import WEB, product

#: Any use of the network would go through these, and fail.
NO_NETWORK = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9", "no_proxy": ""}


@pytest.fixture
def packed(harness: Run, tmp_path: Path) -> Path:
    root = product(tmp_path / "p", {**WEB, "packages": ["busybox", "ncal"]})
    assert harness("run", root).code == 0
    assert harness("bundle", "--with-images", "--out", tmp_path / "b.tar").code == 0
    return tmp_path / "b.tar"


def forget(path: Path) -> None:
    """Remove the environment that the campaign made, as if this were another machine."""
    with tarfile.open(path) as tar:
        file = tar.extractfile("record/campaign.json")
        assert file is not None
        (image,) = json.loads(file.read())["cells"][0]["images"]
    client = docker.from_env()
    client.images.remove(image, force=True)
    client.close()


def test_replayed_elsewhere_without_network(harness: Run, tmp_path: Path, packed: Path) -> None:
    forget(packed)
    ran = harness("replay", packed, "--workspace", tmp_path / "elsewhere", "--format", "json", **NO_NETWORK)
    assert ran.code == 0, ran.err
    assert ran.json["same_verdicts"] is True
    assert [cell["verdict"] for cell in ran.json["cells"]] == ["conformant"]
    assert [change for change in ran.json["changes"] if change["kind"] != "timing"] == []
    assert "seconds" in ran.json["cells"][0]
    assert harness("verify", "--workspace", tmp_path / "elsewhere").code == 0


def test_another_verdict_is_told(harness: Run, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    check = f"import os\n\ndef test_it():\n    assert not os.path.exists({str(flag)!r})\n"
    root = product(tmp_path / "p", WEB, check=check)
    # The suite looks at a file outside of its folder, which only trusted code may.
    assert harness("run", root, "--trust-code").code == 0
    assert harness("bundle", "--out", tmp_path / "b.tar").code == 0
    flag.touch()
    ran = harness("replay", tmp_path / "b.tar", "--workspace", tmp_path / "elsewhere", "--trust-code")
    assert ran.code == 1
    assert "verdict: conformant → nonconformant" in ran.out
    assert "nothing else changed" in ran.out
    flag.unlink()
    (root / "checks" / "test_checks.py").write_text("def test_it():\n    pass\n")
    assert harness("bundle", "--out", tmp_path / "c.tar").code == 0
    with tarfile.open(tmp_path / "b.tar") as old, tarfile.open(tmp_path / "c.tar") as new:
        name = "definitions/matrix/checks/test_checks.py"
        assert [tar.extractfile(name).read() for tar in (old, new)] == [check.encode()] * 2  # type: ignore[union-attr]


def rewrite(path: Path, out: Path, member: str, text: bytes) -> None:
    """The bundle with one member replaced or added."""
    import io

    with tarfile.open(path) as old, tarfile.open(out, "w") as new:
        for entry in old:
            if entry.name != member:
                new.addfile(entry, old.extractfile(entry))
        entry = tarfile.TarInfo(member)
        entry.size = len(text)
        new.addfile(entry, io.BytesIO(text))


def test_a_bundle_that_was_changed_is_refused(harness: Run, tmp_path: Path) -> None:
    root = product(tmp_path / "p", WEB)
    assert harness("run", root).code == 0
    good = tmp_path / "b.tar"
    assert harness("bundle", "--out", good).code == 0
    bad = tmp_path / "bad.tar"
    for member, told in (
        ("definitions/matrix/application.yaml", "not what its manifest says: definitions/matrix/application.yaml"),
        ("definitions/matrix/checks/test_more.py", "not what its manifest says"),
        ("record/campaign.json", "not what its manifest says: record/campaign.json"),
        ("manifest.json", "is no bundle"),
        ("../outside", "is no bundle"),
        ("/tmp/outside", "is no bundle"),
    ):
        rewrite(good, bad, member, b"{}")
        ran = harness("replay", bad, "--workspace", tmp_path / "elsewhere")
        assert ran.code == 2, member
        assert told in ran.err
    assert not (tmp_path / "outside").exists()
    bad.write_bytes(good.read_bytes()[:4000])
    assert harness("replay", bad, "--workspace", tmp_path / "elsewhere").code == 2
    assert harness("list", "--workspace", tmp_path / "elsewhere", "--format", "json").json["campaigns"] == []
