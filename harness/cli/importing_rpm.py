"""``harness targets import rpm``: a target of repositories, or of an installation medium, of the RPM family."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

import click
from pydantic import ValidationError

from harness.cli.importing import import_options, stated
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.errors import UsageError
from harness.importing.entries import Wanted
from harness.importing.importing import Import, import_root
from harness.importing.installroot import PACKAGES, Rooter, RootSource
from harness.importing.proving import Unrecorded, by_engine
from harness.model.definitions import Os, Repository
from harness.model.definitions.target import KEY_BEGINS
from harness.reading.entries import entry
from harness.system.files import digest_of_file
from harness.system.makers import cache_folder, own_name

#: The system whose dnf makes the root.
MAKER = "debian-12"


@click.command("rpm")
@click.option(
    "--repository",
    "addresses",
    multiple=True,
    callback=stated,
    metavar="URL",
    help="of a repository (its repodata is below it); may repeat",
)
@click.option(
    "--medium",
    type=click.Path(path_type=Path, exists=True),
    help="an installation medium instead: an ISO image, or the folder of one that is mounted or unpacked",
)
@click.option(
    "--gpgkey",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="file with the public key (armored) that the packages are signed with, from a source that you trust",
)
@click.option(
    "--unsigned",
    default="",
    callback=stated,
    metavar="REASON",
    help="take packages without a signature; the evidence says why",
)
@click.option(
    "--package",
    "packages",
    multiple=True,
    callback=stated,
    help=f"to be installed, may repeat; else {', '.join(PACKAGES)}",
)
@click.option("--releasever", default="", callback=stated, help="value of $releasever; else that of the medium")
@click.option("--mirror", default="", envvar="HARNESS_MIRROR", help="Debian mirror that dnf itself comes from")
@import_options
def from_packages(
    addresses: tuple[str, ...],
    medium: Path | None,
    gpgkey: Path | None,
    unsigned: str,
    packages: tuple[str, ...],
    releasever: str,
    mirror: str,
    wanted: Wanted,
) -> Import:
    """Packages of a repository or an installation medium: dnf --installroot in a container, which their scripts do not
    leave. The entry names the repositories, so that cells install from there."""
    if bool(addresses) == (medium is not None):
        raise UsageError("give either --repository or --medium", advice="see: harness targets import rpm --help")
    if bool(gpgkey) == bool(unsigned):
        raise UsageError(
            "nothing says whose packages they are: either --gpgkey FILE or --unsigned REASON is needed",
            advice="take the key from the vendor's own site, not from the medium or mirror that it is to prove",
        )
    key = _key(gpgkey)
    source = RootSource(
        repositories=_repositories(addresses, key, unsigned),
        medium=medium,
        gpgkey=key,
        unsigned=unsigned,
        packages=packages or PACKAGES,
        releasever=releasever,
        architecture=wanted.architecture,
    )
    engine, cache, ledger = Engine("import"), cache_folder(), Unrecorded()
    _, _, system = entry(f"os/{MAKER}", wanted.catalogue)
    assert isinstance(system, Os)
    rooter = Rooter(environments=Environments(engine, BaseImages(engine, cache, mirror)), system=system, ledger=ledger)
    (cache / "tmp").mkdir(parents=True, exist_ok=True)
    root = cache / "tmp" / f"root-{secrets.token_hex(4)}-{own_name()}.tar"
    with contextlib.ExitStack() as stack:
        stack.callback(root.unlink, missing_ok=True)
        origin = rooter.make(source, root)
        digest = digest_of_file(medium) if medium is not None and medium.is_file() else ""
        named = [each.model_dump(exclude_defaults=True) for each in source.repositories]
        more = {"repositories": named} if named else {}
        return import_root(root, wanted, by_engine(engine, cache), origin=origin, origin_sha256=digest, more=more)


def _key(path: Path | None) -> str:
    """The text of a key's file.

    Raises:
        UsageError: it is no public key in text form.
    """
    if path is None:
        return ""
    text = path.read_text(encoding="utf-8", errors="replace").lstrip("\ufeff \r\n")
    if not text.startswith(KEY_BEGINS):
        raise UsageError(
            f"{path} is no armored public key: it does not begin with {KEY_BEGINS}",
            advice="write it with: gpg --armor --export KEY >FILE",
        )
    return text.replace("\r\n", "\n")


def _repositories(addresses: tuple[str, ...], key: str, unsigned: str) -> tuple[Repository, ...]:
    """The repositories of the entry.

    Raises:
        UsageError: an address is none.
    """
    try:
        return tuple(
            Repository(repository=f"imported-{number}", baseurl=address, gpgkey=key, unsigned=unsigned)
            for number, address in enumerate(dict.fromkeys(addresses), 1)
        )
    except ValidationError as error:
        raise UsageError(
            f"{error.errors()[0]['input']!a} is no address of a repository",
            advice="give the URL of the folder that holds repodata, such as http://mirror.example/openEuler/OS/x86_64/",
        ) from error
