"""A distribution of the RPM family for tests, which says of itself that it is one: Debian's own dnf and rpm over files
of Debian, without apt and dpkg, and a repository that is made and signed here.

It proves paths of the harness, and nothing of openEuler, Kylin or any other system.
"""

from __future__ import annotations

import contextlib
import functools
import http.server
import secrets
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.campaigns.options import cache_folder
from harness.containers.cache import mark_image_used
from harness.containers.engine import BUILD_CAPABILITIES, Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.containers.machine import ContainerMachine
from harness.model.recipe import Recipe
from harness.system.canonical import digest_of
from tests.labs import Notes, system

#: Kind -> the release whose files it has, the package of its dnf, the program that /usr/bin/dnf leads to.
KINDS = {"dnf4": ("debian-12", "dnf", "dnf-3"), "dnf5": ("debian-forky", "dnf5", "dnf5")}
#: Where rpm keeps what is installed: openEuler 22.03 and Kylin V10, and newer releases of the family.
DATABASES = {"dnf4": "/var/lib/rpm", "dnf5": "/usr/lib/sysimage/rpm"}
#: Of its os-release.
ID = "harness-test"
#: What the files of Debian stand for: packages of the repository, and rpm's own macros, ask for these names.
PROVIDES = (
    "/bin/sh /bin/bash /usr/bin/env /usr/bin/python3 system-release libc.so.6()(64bit) python3 "
    "shadow-utils coreutils bash rpm dnf"
)
#: What makes a system of the RPM family of a root of Debian.
CHANGE = r"""
set -e
printf 'NAME="Harness test distribution"\nID=@ID@\nID_LIKE="rhel fedora"\nVERSION_ID="@VERSION@"\n' >/etc/os-release
printf 'PLATFORM_ID="platform:harness@VERSION@"\n' >>/etc/os-release
printf 'PRETTY_NAME="Harness test distribution @VERSION@, no product of anybody"\n' >>/etc/os-release
mkdir -p /etc/rpm && echo '%_dbpath @DATABASE@' >/etc/rpm/macros  # Debian 12's is of each user
rm -f /etc/dnf/libdnf5-plugins/local.conf  # it makes repositories
mkdir -p /etc/dnf/vars /etc/yum.repos.d /etc/pki/rpm-gpg /media
echo 1 >/etc/dnf/vars/releasever
ln -sf @PROGRAM@ /usr/bin/dnf
rm -rf /var/lib/dpkg /var/lib/apt /var/cache/apt /etc/apt /usr/lib/apt /usr/share/doc /usr/share/locale /usr/share/man \
  /etc/debian_version /var/lib/rpm /usr/lib/sysimage/rpm
rm -f /usr/bin/apt* /usr/bin/dpkg* /usr/sbin/policy-rc.d
rpm --initdb
"""
#: What a script of the base system sees when it is installed: it is written down, to be looked at.
BASE = """%post
{ id -u; ls /; cat /proc/net/route /etc/hostname 2>&1; } >/root/script
"""
SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: made by a test
License: none
AutoReqProv: no
{more}
%description
Made by a test.
%install
{install}
%files
{files}
"""


def rpm(
    folder: Path,
    name: str,
    version: str = "1.0",
    *,
    arch: str = "noarch",
    more: str = "",
    scripts: str = "",
    files: Mapping[str, str] | None = None,
) -> Path:
    """A package; ``files`` are texts by path; ``%config(noreplace) PATH`` makes it configuration."""
    given = {f"/opt/{name}/file": f"{name} {version}\n"} if files is None else files
    source, install = folder / f"source-{name}-{version}", ["mkdir -p %{buildroot}"]
    for number, (path, text) in enumerate(given.items()):
        source.mkdir(parents=True, exist_ok=True)
        (source / str(number)).write_text(text)
        plain = path.removeprefix("%config(noreplace) ")
        mode = "0755" if "/bin/" in plain else "0644"
        install.append(f"install -D -m {mode} {source}/{number} '%{{buildroot}}{plain}'")
    text = SPEC.format(
        name=name,
        version=version,
        more=f"BuildArch: noarch\n{more}" if arch == "noarch" else more,
        install="\n".join(install),
        files="\n".join(f'"{path}"' if path.startswith("/") else path for path in given),
    )
    return built(folder, f"{name}-{version}", text.replace("%files\n", f"{scripts}\n%files\n"), arch)


def built(folder: Path, title: str, text: str, arch: str) -> Path:
    """The package of a spec file."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = folder / f"{title}.spec"
    spec.write_text(text)
    words = {
        "_topdir": f"{folder}/top",
        "debug_package": "%{nil}",
        "__os_install_post": "%{nil}",
        "_build_id_links": "none",
        "_binary_payload": "w1.gzdio",
    }
    argv = ["rpmbuild", "-bb", "--quiet", "--target", arch, str(spec)]
    for key, value in words.items():
        argv += ["--define", f"{key} {value}"]
    subprocess.run(argv, check=True, capture_output=True)
    (path,) = (folder / "top" / "RPMS" / arch).glob(f"{title}-*.rpm")
    return path


@dataclass(frozen=True)
class Key:
    """A key that signs packages, in a folder of its own."""

    home: Path

    @classmethod
    def new(cls, home: Path) -> Key:
        home.mkdir(mode=0o700)
        words = "--batch --quiet --pinentry-mode loopback --passphrase= --quick-gen-key repository rsa3072 sign never"
        subprocess.run(["gpg", "--homedir", str(home), *words.split()], check=True, capture_output=True)
        return cls(home)

    @property
    def text(self) -> str:
        """The public key, armored."""
        argv = ["gpg", "--homedir", str(self.home), "--armor", "--export"]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout

    def sign(self, *packages: Path) -> None:
        # Debian's rpm does not find gpg by itself.
        argv = ["rpmsign", "--define", "__gpg /usr/bin/gpg", "--define", "_gpg_name repository"]
        argv += ["--define", f"_gpg_path {self.home}", "--addsign", *map(str, packages)]
        subprocess.run(argv, check=True, capture_output=True)


def repository(folder: Path, *packages: Path, comps: str = "", modules: str = "") -> Path:
    """A folder with packages as a repository; made again where it is one."""
    folder.mkdir(parents=True, exist_ok=True)
    for package in packages:
        (folder / package.name).write_bytes(package.read_bytes())
    argv = ["createrepo_c", "-q", "--general-compress-type=gz", str(folder)]
    if comps:
        (folder / "comps.xml").write_text(comps)
        argv += ["-g", "comps.xml"]
    if modules:
        (folder / "modules.yaml").write_text(modules)
    subprocess.run(argv, check=True, capture_output=True)
    return folder


def comps(name: str, *packages: str) -> str:
    """A group of packages, as ``createrepo_c -g`` takes it."""
    listed = "".join(f'<packagereq type="mandatory">{package}</packagereq>' for package in packages)
    return (
        '<?xml version="1.0"?>\n<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">\n<comps>'
        f"<group><id>{name}</id><name>{name}</name><description>of a test</description><default>true</default>"
        f"<uservisible>true</uservisible><packagelist>{listed}</packagelist></group></comps>\n"
    )


def stream(name: str, version: str, *packages: str) -> str:
    """A stream of a module; ``packages`` as NAME-EPOCH:VERSION-RELEASE.ARCH. Streams follow one another in a file."""
    artifacts = "".join(f"      - {package}\n" for package in packages)
    return (
        "---\ndocument: modulemd\nversion: 2\ndata:\n"
        f'  name: {name}\n  stream: "{version}"\n  version: 1\n  context: c0ffee42\n  arch: noarch\n'
        "  summary: of a test\n  description: of a test\n  license:\n    module: [MIT]\n"
        f"  profiles:\n    common:\n      rpms: [{name}]\n  artifacts:\n    rpms:\n{artifacts}...\n"
    )


def defaults(name: str) -> str:
    """Makes the profile ``common`` that of every stream of a module."""
    return (
        f"---\ndocument: modulemd-defaults\nversion: 1\ndata:\n  module: {name}\n  profiles:\n"
        '    "1": [common]\n    "2": [common]\n...\n'
    )


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which this process serves a folder; not 127.0.0.1, which a build takes for its own."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, directory=str(folder), **more)

        def log_message(self, format: str, *args: Any) -> None:
            """Nobody reads it."""

    with http.server.ThreadingHTTPServer(("127.0.0.2", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.2:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def running(image: str, **options: Any) -> Iterator[ContainerMachine]:
    """A container without a network, as builds have them; gone afterwards."""
    engine = Engine("contract")
    name = f"harness-contract-{secrets.token_hex(4)}"
    container = engine.client.containers.run(
        image,
        ["sleep", "infinity"],
        name=name,
        init=True,
        detach=True,
        network_mode="none",
        cap_drop=["ALL"],
        cap_add=BUILD_CAPABILITIES,
        security_opt=["no-new-privileges"],
        labels=engine.labels("contract", "1", "application"),
        **options,
    )
    try:
        yield ContainerMachine(engine, str(container.id), name)
    finally:
        engine.remove_container(name)


@functools.cache
def image(kind: str) -> str:
    """Id of the image of the distribution; it is made once, and known again by what it is made of."""
    release, package, program = KINDS[kind]
    engine = Engine("contract")
    images = BaseImages(engine, cache_folder(), accepted={"debian-forky": "tests"})
    recipe = Recipe(
        name="test distribution",
        os=release,
        architecture="x86_64",
        packages=(package, "rpm", "python3", "passwd", "systemd"),
    )
    base = Environments(engine, images).ensure(recipe, system(release), Notes()).image
    change = CHANGE.replace("@ID@", ID).replace("@VERSION@", kind[-1]).replace("@PROGRAM@", program)
    change = change.replace("@DATABASE@", DATABASES[kind])
    spec = SPEC.format(
        name="harness-test-system",
        version=kind[-1],
        install="",
        files="",
        more=f"Provides: {PROVIDES}\nBuildArch: noarch",
    )
    tag = f"harness-env:test-distribution-{digest_of([base, change, spec])[:16]}"
    mark_image_used(cache_folder(), tag)
    if (known := engine.image_id(tag)) is not None:
        return known
    with running(base) as machine:
        done = machine.run(change, timeout=120)
        assert done.ok, done.text
        glue = built(cache_folder() / "tmp" / f"glue-{kind}", f"harness-test-system-{kind[-1]}", spec, "noarch")
        machine.put("/tmp/glue.rpm", glue.read_bytes())  # in the container
        done = machine.run(
            "rpm -i --nosignature --nodigest /tmp/glue.rpm && rm /tmp/glue.rpm && rpm -q rpm --whatprovides rpm"
        )
        assert done.ok, done.text
        repository_name, _, version = tag.partition(":")
        return str(engine.client.api.commit(machine.container, repository=repository_name, tag=version)["Id"])


def base_package(kind: str) -> Path:
    """The files of the distribution as a package, from which a root can be made; made once, and kept in the cache."""
    identity = image(kind)
    place = cache_folder() / "test-rpms" / digest_of([identity, BASE])[:16]
    kept = place / f"harness-test-base-{kind[-1]}-1.x86_64.rpm"
    if kept.is_file():
        return kept
    root = place / "root"
    root.mkdir(parents=True, exist_ok=True)
    engine = Engine("contract")
    container = engine.client.containers.create(identity, ["true"], labels=engine.labels("contract", "1", "look"))
    try:
        with (place / "root.tar").open("wb") as file:
            for piece in container.export(chunk_size=1 << 20):
                file.write(piece)
    finally:
        container.remove()
    skipped = ("dev/*", "proc/*", "sys/*", "run/*", "tmp/*", "var/lib/rpm/*", "usr/lib/sysimage/rpm/*", ".dockerenv")
    argv = ["tar", "-xf", "root.tar", "-C", "root", "--numeric-owner", *(f"--exclude={name}" for name in skipped)]
    subprocess.run(argv, cwd=place, check=True)
    text = SPEC.format(
        name="harness-test-base",
        version=kind[-1],
        more=f"Provides: {PROVIDES}",
        install=f"mkdir -p %{{buildroot}} && cp -a {root}/. %{{buildroot}}/",
        files="/*",
    ).replace("%files\n", f"{BASE}\n%files\n")
    path = built(place, f"harness-test-base-{kind[-1]}", text, "x86_64")
    path.rename(kept)
    for left in (root, place / "top"):
        shutil.rmtree(left)
    (place / "root.tar").unlink()
    return kept


def medium(path: Path, repository_folder: Path, treeinfo: str) -> Path:
    """An installation medium (ISO 9660 with Rock Ridge) of a repository."""
    (repository_folder / ".treeinfo").write_text(treeinfo)
    argv = ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", str(path), str(repository_folder)]
    subprocess.run(argv, check=True, capture_output=True)
    return path
