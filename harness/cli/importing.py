"""``harness targets import``: a target of what a center holds."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import yaml
from click.core import ParameterSource

from harness.attest.architecture import host_architecture
from harness.cli.output import print_json, say
from harness.cli.shared import format_option
from harness.containers.engine import Engine
from harness.errors import UsageError
from harness.importing.disks import Account, import_disk
from harness.importing.entries import Wanted
from harness.importing.importing import Import, import_archive, import_root
from harness.importing.proving import by_engine, without_campaign
from harness.importing.registry import import_image
from harness.model.definitions.base import BUILT
from harness.system.makers import cache_folder
from harness.virtual.foreign import Start

FILE = click.Path(path_type=Path, dir_okay=False)


def stated(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """A value of the command line, which an empty one is not: that would be taken for an option that was left out.

    Raises:
        BadParameter: it is empty.
    """
    given = option.name is not None and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE
    if given and any(isinstance(each, str) and not each.strip() for each in (value if option.multiple else [value])):
        raise click.BadParameter("it is empty: give a value, or leave the option out", context, option)
    return value


#: Of every kind of import: what it shall be, and how the result is shown.
_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--name", default="", callback=stated, help="of the target; else from the ID and VERSION_ID of its os-release"
    ),
    click.option(
        "--as", "known", default="", callback=stated, metavar="TARGET", help="the system of the catalogue that it is"
    ),
    click.option("--id", "identity", default="", callback=stated, help="the ID that its os-release must have"),
    click.option("--version", default="", callback=stated, help="the VERSION_ID that its os-release must have"),
    click.option("--arch", default=None, type=click.Choice(BUILT), help="the architecture that it must have"),
    click.option("--replace", is_flag=True, help="put it in the place of another target of that name"),
    format_option,
)


def import_options(command: Callable[..., Import]) -> Callable[..., None]:
    """The options of an import: the command gets ``wanted`` and gives the import, which is shown."""

    @functools.wraps(command)
    def run(
        name: str, known: str, identity: str, version: str, arch: str | None, replace: bool, form: str, **own: Any
    ) -> None:
        known = known.removeprefix("os/")  # as targets list and show name it
        wanted = Wanted(name=name, known=known, id=identity, version=version, architecture=arch or "", replace=replace)
        with without_campaign():
            imported = command(wanted=wanted, **own)
        show(imported, form)

    decorated: Callable[..., None] = run
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


@click.group("import")
def import_command() -> None:
    """Make a target of a system that you have, in targets/os of the current folder.

    What it is (ID, VERSION_ID, architecture, package manager, C library) is read from its files; what is not what it is
    said to be is refused, and nothing is written.
    """


@import_command.command("image")
@click.argument("reference")
@import_options
def from_registry(reference: str, wanted: Wanted) -> Import:
    """An image of a registry, REGISTRY/NAME:TAG: the tag is resolved to a digest now, and the digest is kept."""
    engine = Engine("import")
    return import_image(reference, wanted, by_engine(engine, cache_folder()), engine, cache_folder())


@import_command.command("archive")
@click.argument("file", type=FILE)
@click.option(
    "--image",
    default="",
    callback=stated,
    metavar="ID",
    help="id of the image, or how it begins, where there are several",
)
@import_options
def from_archive(file: Path, image: str, wanted: Wanted) -> Import:
    """An image in an archive (tar) of docker save, or of the OCI image layout; the names in it are ignored."""
    return import_archive(file, wanted, by_engine(Engine("import"), cache_folder()), image=image)


@import_command.command("root")
@click.argument("file", type=FILE)
@import_options
def from_root(file: Path, wanted: Wanted) -> Import:
    """A root file system in a tar archive, plain or compressed (gzip, xz, bzip2, zstd)."""
    return import_root(file, wanted, by_engine(Engine("import"), cache_folder()))


@import_command.command("disk")
@click.argument("file", type=FILE)
@click.option("--user", default="root", callback=stated, show_default=True, help="account that logs in over SSH")
@click.option("--key", default=None, callback=stated, metavar="REF", help="its private key: env:NAME or file:PATH")
@click.option("--password", default=None, callback=stated, metavar="REF", help="its password: env:NAME or file:PATH")
@click.option("--sudo", is_flag=True, help="it becomes root by sudo, without a password")
@click.option("--kernel", default=None, type=FILE, help="boot this kernel, not the loader of the disk")
@click.option("--initrd", default=None, type=FILE, help="RAM disk of that kernel")
@click.option("--append", default="", help="command line of that kernel")
@click.option("--firmware", default=None, type=FILE, help="in place of the one that QEMU or this machine has")
@click.option(
    "--accelerator",
    default="auto",
    show_default=True,
    type=click.Choice(["auto", "kvm", "tcg"]),
    help="how QEMU runs it",
)
@click.option("--memory", default=2048, show_default=True, type=click.IntRange(256, 65536), help="MiB")
@click.option("--seconds", default=600.0, show_default=True, help="how long it may take until its SSH server answers")
@import_options
def from_disk(file: Path, wanted: Wanted, user: str, sudo: bool, memory: int, seconds: float, **more: Any) -> Import:
    """A disk image (qcow2 or raw): booted by QEMU, with KVM where that works, asked over SSH, and its files taken.

    Nothing is written to the disk. Cells are containers of its files, or virtual machines with its kernel.
    """
    account = Account(user=user, sudo=sudo, key=more.pop("key"), password=more.pop("password"))
    for reference in filter(None, (account.key, account.password)):
        if reference.partition(":")[0] not in ("env", "file"):
            raise UsageError("--key and --password name where a secret is", advice="write env:NAME or file:PATH")
    start = Start(architecture=wanted.architecture or host_architecture(), memory=memory, **more)
    prove = by_engine(Engine("import"), cache_folder())
    return import_disk(file, wanted, prove, account, start, seconds=seconds, cache=cache_folder())


def show(imported: Import, form: str) -> None:
    """What was imported, for people or programs."""
    facts = imported.facts
    if form == "json":
        print_json(
            {
                "target": imported.name,
                "file": str(imported.path),
                "changed": imported.changed,
                "architecture": facts.architecture,
                "digest": imported.digest,
                "image": imported.image,
                "origin_sha256": imported.origin_sha256,
                "identity": dict(facts.identity),
                "family": facts.family,
                "package_manager": facts.package_manager,
                "glibc": facts.glibc,
            }
        )
        return
    word = "imported 已导入" if imported.changed else "unchanged 未变"
    say(f"{imported.name} {facts.architecture}: {word}: {imported.path}")
    say(f"  attested 核实: {facts.words}")
    if imported.origin_sha256:
        say(f"  file 文件: SHA-256 {imported.origin_sha256}")
    if imported.image:
        say(f"  image 镜像: {imported.image}")
    if "@" in imported.digest:
        say(f"  digest 摘要: {imported.digest}")
    else:
        say(f"  kept copy 所存副本: SHA-256 {imported.digest}")
    say(f"  next 下一步: os: {listed(imported.name)} in matrix.yaml")


def listed(name: str) -> str:
    """A list of a name as YAML; in quotes where YAML would not read it as a text (``1``, ``on``, ``2024-01-01``)."""
    return yaml.safe_dump([name], default_flow_style=True).strip()
