"""Scripts of a vendor's packages run as root while an environment is built, and get no further than its container."""

from __future__ import annotations

import secrets
import subprocess
from pathlib import Path

from harness.campaigns import cache_folder
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.model.recipe import Recipe, RecipeFile
from tests.labs import Notes, system

PERL = "timeout 5 perl -MSocket -e"
#: What only the rights of the container's root could refuse: a name, and a command that succeeds if it took something.
RIGHTS = {
    "make a device": "mknod /tmp/disk b 254 0",
    "mount": "mount -t tmpfs none /mnt",
    "open a raw socket": f"{PERL} 'socket(S, AF_INET, SOCK_RAW, 1) or exit 1'",
    "capture packets": f"{PERL} 'socket(S, 17, SOCK_RAW, 3) or exit 1'",
    "name the machine anew": "hostname planted",
    "be root in a namespace": "timeout 5 unshare -Ur true",
    "change a setting of the kernel": "echo planted >/proc/sys/kernel/domainname",
    "run before others": "timeout 5 nice -n -5 sh -c '[ $(nice) = -5 ]'",
    "change the root folder": "timeout 5 chroot / true",
    "gain rights by a program": "grep -q '^NoNewPrivs:.0' /proc/self/status",
}
#: Of the control: what the engine gives, and what it keeps from containers.
ALL_RIGHTS = (
    "--cap-add=SYS_ADMIN",
    "--cap-add=SYS_NICE",
    *(f"--security-opt={w}=unconfined" for w in ("seccomp", "systempaths")),
)


def attempts(folder: dict[str, str]) -> str:
    """A script that makes each attempt, and writes the names of those that took something to /loot."""
    lines = [f"( {command} ) >/dev/null 2>&1 && echo '{name}' >>/loot" for name, command in folder.items()]
    return "\n".join(["#!/bin/bash", ": >/loot", *lines, "true\n"])


def built(folder: Path, script: str) -> str:
    """What is in /loot of an environment with a package whose script before its installation is ``script``."""
    tree, file = folder / "tree" / "DEBIAN", folder / "planted.deb"
    tree.mkdir(parents=True)
    (tree / "control").write_text("Package: planted\nVersion: 1\nArchitecture: all\nMaintainer: T\nDescription: t\n")
    (tree / "preinst").write_text(script)
    (tree / "preinst").chmod(0o755)
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree.parent, file], check=True, capture_output=True)
    recipe = Recipe(
        name="hostile",
        os="debian-12",
        architecture="x86_64",
        package_files=(RecipeFile(path=file.name, source=file, sha256=secrets.token_hex(32)),),
    )
    engine = Engine("hostile")
    made = Environments(engine, BaseImages(engine, cache_folder())).ensure(recipe, system("debian-12"), Notes())
    try:
        return bare(made.image, "cat /loot")
    finally:
        engine.client.images.remove(made.image, force=True)


def bare(image: str, script: str, *more: str) -> str:
    """What a script prints in a new container."""
    argv = ["docker", "run", "--rm", "-i", "--network", "none", *more, image, "bash"]
    return subprocess.run(argv, input=script, capture_output=True, text=True, check=True, timeout=120).stdout


def test_a_package_has_no_rights_over_the_machine(tmp_path: Path) -> None:
    assert built(tmp_path, attempts(RIGHTS)) == ""


def test_a_root_with_all_rights_takes_all_of_it() -> None:
    """So the test above is able to fail."""
    base = BaseImages(Engine("hostile"), cache_folder()).ensure(system("debian-12"), "x86_64", Notes())
    assert bare(base.id, attempts(RIGHTS) + "cat /loot", *ALL_RIGHTS).splitlines() == list(RIGHTS)
