"""How base images are asked for: verified, dated, and an expired release only when somebody accepted it."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.containers.images import LABEL_EXPIRED, LABEL_NOTES, BaseImages, clean_scratch
from harness.containers.mirror import Mirror
from harness.errors import ProvisionError
from harness.model.definitions import Os
from harness.reading.parsing import parse
from harness.system.makers import own_name

ROOT = Path(__file__).parents[2]
FORKY = parse(ROOT / "targets" / "os" / "debian-forky.yaml", Os)

#: Stands in for mmdebstrap with a mirror whose release file is too old: what apt says then, word for word.
EXPIRED = """#!/bin/sh
echo "$@" >>'{calls}'
echo "TMPDIR=$TMPDIR" >>'{temporary}'
case "$*" in *Check-Valid-Until*) : >'{out}'; exit 0 ;; esac
echo "E: Release file for mirror/dists/forky/InRelease is expired (invalid since 15d 6h)." >&2
exit 25
"""


class Notes:
    """Remembers what was told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def intent(self, kind: str, name: str) -> None: ...
    def created(self, kind: str, name: str, engine_id: str) -> None: ...
    def removed(self, kind: str, name: str) -> None: ...
    def event(self, kind: str, **data: Any) -> None:
        self.events.append((kind, data))

    def keep(self, name: str, data: bytes, media: str = "text/plain") -> str:
        return ""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "mmdebstrap").write_text(
        EXPIRED.format(calls=tmp_path / "calls", temporary=tmp_path / "temporary", out=tmp_path / "out.tar")
    )
    (tools / "mmdebstrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    return tmp_path / "calls"


def images(tmp_path: Path, **accepted: str) -> BaseImages:
    made = BaseImages(None, tmp_path / "cache", accepted={k.replace("_", "-"): v for k, v in accepted.items()})  # type: ignore[arg-type]
    made._mirror = Mirror("http://mirror.invalid/debian")
    return made


def test_an_expired_release_is_refused_and_says_what_to_do(tmp_path: Path, calls: Path) -> None:
    with pytest.raises(ProvisionError, match="is expired: expired") as caught:
        images(tmp_path)._bootstrap(FORKY, "loong64", tmp_path / "out.tar", Notes())
    assert "--allow-expired-release debian-forky" in caught.value.advice
    assert "Check-Valid-Until" not in calls.read_text()


def test_an_accepted_one_is_tried_strictly_first_and_goes_into_the_evidence(tmp_path: Path, calls: Path) -> None:
    notes = Notes()
    made = images(tmp_path, debian_forky="our reason")
    _, told, _ = made._bootstrap(FORKY, "loong64", tmp_path / "out.tar", notes)
    first, second = calls.read_text().splitlines()
    assert "Check-Valid-Until" not in first
    assert 'Check-Valid-Until "false"' in second
    assert told.startswith("expired")
    assert ("expired-release-accepted", "our reason") in [(kind, data.get("reason")) for kind, data in notes.events]


class Labelled:
    """An engine that has one image."""

    def __init__(self, labels: dict[str, str]) -> None:
        self.client = SimpleNamespace(images=SimpleNamespace(get=lambda _: SimpleNamespace(labels=labels)))

    def image_id(self, _: str) -> str:
        return "sha256:1"


def test_a_cached_image_is_accepted_for_the_reason_of_this_campaign_or_not_at_all(tmp_path: Path) -> None:
    """Whoever made it: the reason is no property of the image."""
    made = images(tmp_path, debian_forky="our reason")
    made.engine = Labelled({LABEL_NOTES: '["verified"]', LABEL_EXPIRED: "expired (since 3 days)"})  # type: ignore[assignment]
    found = made.ensure(FORKY, "loongarch64", Notes())
    told = "release file of forky expired, accepted: our reason (expired (since 3 days))"
    assert (found.cached, found.notes) == (True, ("verified", told))
    made.accepted = {}
    with pytest.raises(ProvisionError, match=r"is expired: expired .since 3 days"):
        made.ensure(FORKY, "loongarch64", Notes())


def test_packages_are_verified_with_a_keyring(tmp_path: Path, calls: Path) -> None:
    images(tmp_path, debian_forky="x")._bootstrap(FORKY, "loong64", tmp_path / "out.tar", Notes())
    for line in calls.read_text().splitlines():
        assert "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg" in line
        assert "trusted" not in line
    assert json.dumps(calls.read_text()).count("allow-insecure") == 0


def test_scratch_of_the_dead_goes_and_of_the_living_stays(tmp_path: Path) -> None:
    folder = tmp_path / "tmp"
    folder.mkdir()
    dead, living = folder / "abc-999999999.tar", folder / f"abc-{own_name()}.tar"
    for path in (dead, living):
        path.write_bytes(b"x")
    # A root has the time of the package that its top folder is of: that says nothing of who makes it.
    gone, built = folder / "root-0af-999999999", folder / f"root-0af-{own_name()}"
    for path in (gone, built):
        (path / "mmdebstrap.x" / "usr").mkdir(parents=True)
        for each in (path / "mmdebstrap.x", path):
            os.utime(each, (1_600_000_000, 1_600_000_000))
    assert clean_scratch(tmp_path) == [dead.name, gone.name]
    assert living.exists()
    assert (built / "mmdebstrap.x" / "usr").exists()
    assert not gone.exists()
    assert clean_scratch(tmp_path / "nothing") == []


def test_a_root_that_is_built_lies_in_a_folder_of_its_maker_which_goes_with_it(tmp_path: Path, calls: Path) -> None:
    images(tmp_path, debian_forky="x")._bootstrap(FORKY, "loong64", tmp_path / "out.tar", Notes())
    places = re.findall(r"^TMPDIR=(.*)$", calls.with_name("temporary").read_text(), re.MULTILINE)
    assert places
    for place in places:
        assert Path(place).name.endswith(f"-{own_name()}")
        assert not Path(place).exists()


def test_what_killed_makers_of_virtual_machines_left_is_removed(tmp_path: Path) -> None:
    gone = [tmp_path / "vms" / name for name in ("disks/.0af-4194305-77", "snapshots/.0af-4194305.qcow2")]
    kept = [tmp_path / "vms" / name for name in (f"disks/.0af-{own_name()}-77", "snapshots/0af.qcow2")]
    for path in (*gone, *kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if path.parent.name == "disks" else path.touch()
    assert set(clean_scratch(tmp_path)) == {path.name for path in gone}
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)


def test_a_base_image_that_cannot_be_made_is_tried_once_in_a_campaign(tmp_path: Path, calls: Path) -> None:
    made = images(tmp_path)
    made.engine = SimpleNamespace(image_id=lambda _: None)  # type: ignore[assignment]
    for _ in range(2):
        with pytest.raises(ProvisionError, match="is expired"):
            made.ensure(FORKY, "loongarch64", Notes())
    assert len(calls.read_text().splitlines()) == 1


def test_an_image_of_another_mirror_is_another_image(tmp_path: Path) -> None:
    names = {
        BaseImages(None, tmp_path, mirror_uri=uri).name_of(FORKY, "loongarch64")  # type: ignore[arg-type]
        for uri in ("", "http://one.example/debian", "http://two.example/debian")
    }
    assert len(names) == 3
