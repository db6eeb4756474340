"""A lab host after a product: it is as before, or it is marked with what is not; with a real sshd and odd products."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness.cli.entry import cli
from harness.hosts.inventory import Inventory
from harness.hosts.leases import PLACE, Lease
from harness.hosts.provisioner import LabHosts
from harness.hosts.ssh import SshMachine
from harness.hosts.undoing import remember, restore
from harness.model.recipe import Recipe, RecipeFile
from harness.provision.installing import POLICY, InstallFailed
from harness.provision.provisioner import Role
from tests.labs import LabHost, Notes, cpu, inventory, lab_host, system

#: All that a host could be changed in, as its own root sees it.
EVERYTHING = (
    "find /etc /home /opt /root /srv /usr /var -xdev ! -path '/var/lib/dpkg*' ! -path '/var/cache/*' "
    "! -path '/etc/ld.so.cache' ! -path '/var/log/*' ! -path '/root/.*' ! -path '/etc/*-' ! -path '/var/lib/apt*' "
    "! -path '/var/cache*' ! -path '/var/lib/xinchuang-harness*' ! -type d -printf '%y %m %u %s %p %l\\n' | sort; "
    "find /etc /home /opt /srv /usr -xdev -type d | sort; cat /proc/mounts; dpkg -l; getent passwd"
)
ODD = r"""
set -e
mkdir -p "$(printf '/opt/a\n')/home" "$(printf '/srv/x\n/home/precious\ny')/deep" "/opt/-rf" "/opt/it's \"quoted\" "
mkdir -p "$(printf '/usr/local/\377\376')/\$(touch oops)" "/var/lib/ trailing " '/opt/*'
printf x >"$(printf '/opt/a\n')/file"
ln -s / /opt/-rf/root; ln -s /home /srv/home
"""


def changes(lab: LabHost, everything: str) -> list[str]:
    """Lines that came or went since ``everything`` was listed."""
    return sorted(set(lab.inside.run(EVERYTHING).out.splitlines()) ^ set(everything.splitlines()))


@pytest.fixture(scope="module")
def lab() -> Iterator[LabHost]:
    with lab_host(
        "debian-12", "x86_64", mem_limit=1 << 30, cap_add=["SYS_ADMIN"], security_opt=["apparmor=unconfined"]
    ) as made:
        made.inside.run("mkdir -p /home/precious/y /opt/old && echo kept >/home/precious/file && echo 1 >/opt/old/f")
        yield made


@pytest.fixture
def hosts(tmp_path: Path, lab: LabHost, monkeypatch: pytest.MonkeyPatch) -> Inventory:
    monkeypatch.setenv("LAB_KEY", lab.key)
    plain = lab.plain(labels={"cpu": "x86-64", "os": "debian-12"})
    (tmp_path / "hosts.yaml").write_text(yaml.safe_dump({"hosts": [plain]}))
    return inventory(tmp_path / "known_hosts", plain)


@pytest.fixture
def machine(hosts: Inventory) -> Iterator[SshMachine]:
    opened = SshMachine(hosts, "lab", mark=secrets.token_hex(8))
    yield opened
    opened.close()


def test_whatever_a_product_calls_its_folders_only_they_are_removed(
    lab: LabHost, hosts: Inventory, machine: SshMachine
) -> None:
    everything = lab.inside.run(EVERYTHING).out
    memory = remember(machine, hosts.host("lab"), machine.mark)
    done = machine.run(ODD)
    assert done.ok, done.text
    assert changes(lab, everything)
    left = restore(machine, hosts.host("lab"), memory)
    # A link in a folder that was there is a file that nobody but its maker may remove: the host is dirty.
    assert left == ["file new: /srv/home (link 0 0 to /home)"]
    lab.inside.run("rm /srv/home")
    assert restore(machine, hosts.host("lab"), memory) == []
    assert changes(lab, everything) == []
    assert lab.inside.run(f"ls -A {PLACE}").out.split() in ([], [".lock"])


def test_what_is_mounted_is_not_removed_with_the_folder_that_it_is_mounted_in(
    lab: LabHost, hosts: Inventory, machine: SshMachine
) -> None:
    everything = lab.inside.run(EVERYTHING).out
    memory = remember(machine, hosts.host("lab"), machine.mark)
    done = machine.run("mkdir -p '/opt/a box/home' && mount --bind /home '/opt/a box/home'")
    assert done.ok, done.text
    assert restore(machine, hosts.host("lab"), memory) == []
    assert changes(lab, everything) == []
    assert lab.inside.get("/home/precious/file") == b"kept\n"


def test_etc_is_put_back_whatever_took_its_place(lab: LabHost, hosts: Inventory, machine: SshMachine) -> None:
    lab.inside.run("mkdir -p /etc/skel/deep && echo 123 >/etc/skel/deep/file && echo 12 >/etc/same-size")
    everything = lab.inside.run(EVERYTHING).out
    memory = remember(machine, hosts.host("lab"), machine.mark)
    machine.run(
        "sleep 1.1; echo 99 >/etc/same-size; rm -rf /etc/skel; ln -s /home/precious /etc/skel; rm /etc/issue; "
        "mkdir -p /etc/issue/deep; chmod 700 /etc/debian_version; : >/etc/host.conf"
    )
    assert restore(machine, hosts.host("lab"), memory) == []
    assert changes(lab, everything) == []
    assert lab.inside.get("/etc/same-size") == b"12\n"
    lab.inside.run("rm -rf /etc/skel/deep /etc/same-size")


def role(**recipe: Any) -> Role:
    plain = Recipe(name="app", os="debian-12", architecture="x86_64", **recipe)
    return Role(name="application", os=system("debian-12"), cpu=cpu("x86-64"), recipe=plain)


@pytest.mark.parametrize("own", [True, False], ids=["own policy", "no policy"])
@pytest.mark.parametrize("command", ["true", "exit 3"], ids=["installs", "fails"])
def test_nothing_outside_of_the_watched_folders_is_left(
    lab: LabHost, hosts: Inventory, machine: SshMachine, tmp_path: Path, own: bool, command: str
) -> None:
    """What is copied to /usr/bin, and the file that keeps services from being started; an install may fail."""
    (tmp_path / "app").write_bytes(b"program")
    lab.inside.run("rm -f /usr/sbin/policy-rc.d; echo the host >/usr/bin/replaced; chmod 751 /usr/bin/replaced")
    if own:
        lab.inside.put(POLICY, b"#!/bin/sh\nexit 0 # own\n", mode="0755")
    everything = lab.inside.run(EVERYTHING).out
    memory = remember(machine, hosts.host("lab"), machine.mark)
    copies = tuple(
        RecipeFile(path=path, source=tmp_path / "app", mode="0755")
        for path in ("/usr/bin/app", "/usr/share/app/data/app", "/usr/bin/replaced")
    )
    provisioner = LabHosts(hosts)
    try:
        provisioner.install(machine, role(copies=copies, commands=(command,)), Notes())
    except InstallFailed:
        assert command != "true"
    else:
        assert command == "true"
    assert lab.inside.get("/usr/bin/replaced") == b"program"
    policy = lab.inside.run(f"cat {POLICY}").out
    assert ("# own" in policy) is own
    assert "101" not in policy
    assert restore(machine, hosts.host("lab"), memory) == []
    assert changes(lab, everything) == []


KILLED = """
import sys, time
from pathlib import Path
from harness.hosts.inventory import Inventory
from harness.hosts.leases import Lease, mark_dirty
from harness.hosts.reaching import machine_of
from harness.hosts.undoing import remember
from harness.model.definitions import Hosts
from harness.provision.installing import POLICY
from harness.reading.parsing import parse

inventory = Inventory(parse(Path(sys.argv[1]), Hosts), Path("known_hosts"))
host = inventory.host("lab")
machine = machine_of(inventory, host, "0123456789abcdef")
Lease(machine_of(inventory, host), "a controller that is killed").take()
remember(machine, host, "0123456789abcdef")
mark_dirty(machine, "a cell worked here, and did not end in order")
machine.put(POLICY, b"exit 101")
machine.put("/usr/share/app/app", b"program")
machine.run("useradd product; mkdir /opt/product; mv /etc/issue /etc/issue.old; setsid sleep 1000 >/dev/null 2>&1 &")
print("ready", flush=True)
time.sleep(1000)
"""


def clean(tmp_path: Path, *more: str) -> Any:
    return CliRunner().invoke(cli, ["hosts", "clean", "lab", *more, "--hosts", str(tmp_path / "hosts.yaml")])


def test_a_controller_that_was_killed_is_cleaned_up_after(
    lab: LabHost, hosts: Inventory, machine: SshMachine, tmp_path: Path
) -> None:
    lab.inside.run(f"rm -f {POLICY}")
    everything = lab.inside.run(EVERYTHING).out
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path / "hosts.yaml")], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    busy = clean(tmp_path)
    assert "a controller that is killed" in str(busy.exception), "its lease is not over"
    lab.inside.run(f"sed -i 's/ [0-9]* / 1 /' {PLACE}/lease")
    lab.inside.run("touch /opt/old/left")
    first = clean(tmp_path)
    assert first.exit_code == 3, first.output
    assert "did not end in order" in first.output
    # The one that the second look would miss is named; everything else is undone at the first time.
    listed = [line.strip() for line in first.output.splitlines() if line.startswith("  file") or " new: " in line]
    assert [line.partition(" (")[0] for line in listed] == ["file new: /etc/issue.old", "file new: /opt/old/left"]
    with pytest.raises(Exception, match="marked dirty"):
        Lease(machine, "another").take()
    lab.inside.run("rm /opt/old/left /etc/issue.old")
    second = clean(tmp_path)
    assert second.exit_code == 0, second.output
    assert changes(lab, everything) == []
    assert lab.inside.run("pgrep -fx 'sleep 1000'").out == ""
    assert lab.inside.run(f"ls -A {PLACE}").out.split() in ([], [".lock"])


def test_what_somebody_restored_by_hand_is_accepted(
    lab: LabHost, hosts: Inventory, machine: SshMachine, tmp_path: Path
) -> None:
    memory = remember(machine, hosts.host("lab"), machine.mark)
    lab.inside.run(f"touch /opt/old/left; echo why >{PLACE}/dirty")
    assert restore(machine, hosts.host("lab"), memory) == ["file new: /opt/old/left (f 0 644 0 0)"]
    assert clean(tmp_path).exit_code == 3
    accepted = clean(tmp_path, "--accept")
    assert accepted.exit_code == 0, accepted.output
    assert "file new: /opt/old/left" in accepted.output
    assert "not marked" in clean(tmp_path).output
    lab.inside.run("rm /opt/old/left")
    assert json.dumps(lab.inside.run(f"ls -A {PLACE}").out.split()) in ("[]", '[".lock"]')
