"""``harness hosts``: whether the hosts of a lab are what their labels say; with a real sshd."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from harness.cli.entry import cli
from harness.errors import UsageError
from tests.labs import LabHost, lab_host

HONEST = {"cpu": "x86-64", "os": "debian-12"}


@pytest.fixture(scope="module")
def lab() -> Iterator[LabHost]:
    with lab_host("debian-12", "x86_64") as made:
        yield made


@pytest.fixture
def place(tmp_path: Path, lab: LabHost, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_KEY", lab.key)
    return tmp_path


def write(place: Path, *hosts: dict[str, Any]) -> None:
    (place / "hosts.yaml").write_text(yaml.safe_dump({"hosts": list(hosts)}))


def ask(place: Path, *words: str, answer: str = "") -> Result:
    return CliRunner().invoke(cli, ["hosts", *words, "--hosts", str(place / "hosts.yaml")], input=answer)


def check(place: Path, *names: str) -> tuple[int, dict[str, Any]]:
    done = ask(place, "check", *names, "--format", "json")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, {one["host"]: one for one in json.loads(done.output)["hosts"]}


def wrong(report: dict[str, Any]) -> set[str]:
    """What does not hold, but for how busy this machine is."""
    return {fact["name"] for fact in report["facts"] if not fact["holds"]} - {"CPU in use"}


def test_an_honest_host_is_as_labelled(place: Path, lab: LabHost) -> None:
    write(place, lab.plain(labels=HONEST))
    _, reports = check(place)
    report = reports["lab"]
    assert (report["trouble"], wrong(report)) == ("", set())
    assert report["round_trip_ms"] > 0
    facts = {fact["name"]: fact["observed"] for fact in report["facts"]}
    assert facts["architecture"] == "x86_64"
    assert facts["CPU in use"].endswith("%")
    shown = ask(place, "check")
    assert shown.exit_code in (0, 3)
    assert "architecture: x86_64 (declared x86_64)" in shown.output


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (
            {**HONEST, "os": "kylin-v10-sp3"},
            {"os-release ID", "os-release VERSION_ID", "glibc", "file /etc/kylin-release", "package family"},
        ),
        ({**HONEST, "cpu": "kunpeng-920"}, {"architecture", "ELF interpreter", "CPU CPU implementer", "CPU CPU part"}),
        ({**HONEST, "cpu": "sunway-3231"}, {"architecture"}),
        ({**HONEST, "cpu": "pentium"}, {"label cpu"}),
        ({"rack": "7"}, {"label cpu", "label os"}),
        ({**HONEST, "accelerator": "ascend-910b"}, {"accelerator (npu-smi info)"}),
    ],
    ids=["kylin", "kunpeng", "sunway", "unknown", "none", "ascend"],
)
def test_a_host_that_lies_is_found(place: Path, lab: LabHost, labels: dict[str, str], told: set[str]) -> None:
    write(place, lab.plain(labels=labels))
    code, reports = check(place)
    assert code == 3
    assert told <= wrong(reports["lab"])
    assert "not as labelled" in ask(place, "check").output


def test_an_edition_of_the_other_package_family_is_found(place: Path, lab: LabHost) -> None:
    """UOS Server 20 edition d says the same of itself as edition a, but is of Debian's family."""
    release = lab.inside.get("/etc/os-release").decode()
    edition = "[Version]\\nEditionName=d\\n"
    try:
        lab.inside.run(
            'rm /etc/os-release; printf \'ID="uos"\\nVERSION_ID="20"\\n\' >/etc/os-release; '
            f"printf '{edition}' >/etc/os-version"
        )
        write(place, lab.plain(labels={**HONEST, "os": "uos-server-20"}))
        _, reports = check(place)
        assert wrong(reports["lab"]) == {"package family"}
        facts = {fact["name"]: fact for fact in reports["lab"]["facts"]}
        assert (facts["package family"]["declared"], facts["package family"]["observed"]) == ("rpm", "debian")
    finally:
        lab.inside.run("rm -f /etc/os-release /etc/os-version ; cat >/etc/os-release", stdin=release)


def test_a_container_that_passes_for_hardware_is_found(place: Path, lab: LabHost) -> None:
    write(place, lab.plain(labels={**HONEST, "os": "kylin-v10-sp3"}, fidelity="physical"))
    _, reports = check(place)
    assert {"virtualization", "kernel"} <= wrong(reports["lab"])


def test_one_that_is_away_does_not_hide_the_others(place: Path, lab: LabHost) -> None:
    write(place, lab.plain(labels=HONEST), lab.plain(host="away", port=1, labels=HONEST))
    code, reports = check(place)
    assert code == 3
    assert "Connection refused" in reports["away"]["trouble"]
    assert wrong(reports["lab"]) == set()
    _, only = check(place, "lab")
    assert only.keys() == {"lab"}


def test_trust_is_given_by_hand_or_by_fingerprint(place: Path, lab: LabHost) -> None:
    write(place, lab.plain(labels=HONEST, host_key=None))
    assert json.loads(ask(place, "list", "--format", "json").output)["hosts"][0]["key_known"] is False
    code, reports = check(place)
    assert (code, "its host key is not known" in reports["lab"]["trouble"]) == (3, True)
    refused = ask(place, "trust", "lab", answer="n\n")
    assert isinstance(refused.exception, UsageError)
    assert not (place / "known_hosts").exists()
    wrong_one = ask(place, "trust", "lab", "--fingerprint", "SHA256:other")
    assert isinstance(wrong_one.exception, UsageError)
    assert not (place / "known_hosts").exists()
    shown = wrong_one.exception.message.split()[2].rstrip(",")
    printed = lab.inside.run("for f in /etc/ssh/ssh_host_*.pub; do ssh-keygen -lf $f; done").out
    assert shown in printed, "not the fingerprint that its own console says"
    assert ask(place, "trust", "lab", "--fingerprint", shown).exit_code == 0
    assert "trusted already" in ask(place, "trust", "lab").output
    assert wrong(check(place)[1]["lab"]) == set()
    assert "known" in ask(place, "list").output


def test_a_key_that_changed_is_not_trusted_by_the_way(place: Path, lab: LabHost) -> None:
    write(place, lab.plain(labels=HONEST, host_key=None))
    assert ask(place, "trust", "lab", answer="y\n").exit_code == 0
    ended = "p=$(cat /run/sshd.pid); kill $p; while kill -0 $p 2>/dev/null; do sleep 0.1; done"
    lab.inside.run(f"rm /etc/ssh/ssh_host_*; {ended}")
    lab.start_sshd()
    code, reports = check(place)
    assert code == 3
    assert "another one than was trusted" in reports["lab"]["trouble"]
    refused = ask(place, "trust", "lab", answer="y\n")
    assert isinstance(refused.exception, UsageError)
    assert "someone may be in between" in refused.exception.message
    assert ask(place, "trust", "lab", "--replace", answer="y\n").exit_code == 0
    assert wrong(check(place)[1]["lab"]) == set()


@pytest.mark.parametrize("words", [["check"], ["list"], ["trust", "lab"]])
def test_no_inventory(place: Path, words: list[str]) -> None:
    done = ask(place, *words)
    assert isinstance(done.exception, UsageError)
    assert "no inventory at" in done.exception.message


def test_the_key_in_the_inventory_is_changed_there(place: Path, lab: LabHost) -> None:
    write(place, lab.plain())
    done = ask(place, "trust", "lab")
    assert isinstance(done.exception, UsageError)
    assert "the inventory itself holds the key" in done.exception.message
    missing = ask(place, "check", "nobody")
    assert isinstance(missing.exception, UsageError)
    assert "no host 'nobody' in the inventory; there is: lab" in missing.exception.message
