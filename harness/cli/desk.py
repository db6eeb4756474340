"""The command of the desk: serve."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import click

from harness.center import queueing
from harness.certify.envelopes import Signing
from harness.cli.keys import keys_option, passphrase_option, read_passphrase, standard_folder
from harness.cli.output import error_console
from harness.cli.shared import catalogue_here, issuer_option, workspace_option
from harness.errors import UsageError
from harness.evidence import Workspace
from harness.presentation import Presentation
from harness.register.register import Register

#: Python packages of the extra ``desk``.
NEEDED = ("argon2", "fastapi", "python_multipart", "uvicorn")
_file = click.Path(path_type=Path, dir_okay=False)
_folder = click.Path(path_type=Path, file_okay=False)


@click.command("serve")
@workspace_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="where to listen")
@click.option("--port", type=click.IntRange(1, 65535), default=8443, show_default=True)
@click.option("--tls-cert", "certificate", type=_file, help="certificate in PEM; demanded beyond loopback")
@click.option("--tls-key", "key", type=_file, help="its private key in PEM")
@click.option("--behind-proxy", "behind", default="", metavar="ADDRESS", help="a proxy there speaks TLS; needs --url")
@click.option("--url", default="", metavar="URL", help="under which people reach the desk")
@click.option(
    "--center", "name", default="适配中心 Adaptation center", show_default=True, help="name, at the first start"
)
@click.option("--uploads", type=_folder, help="folder of artifacts  [default: uploads in the workspace]")
@click.option("--definitions", type=_folder, help="folder of folders with a matrix, from which testers submit")
@click.option("--max-upload", type=click.IntRange(1, 65536), default=2048, show_default=True, help="MiB of an artifact")
@click.option("--key", "names", multiple=True, help="name of a key that signs certificates; several sign side by side")
@click.option("--register", type=_folder, help="public register of the issuer")
@click.option("--trust", type=_file, help="whom the public page trusts (harness trust)")
@issuer_option
@keys_option
@passphrase_option
def serve_command(
    workspace: Path,
    host: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    behind: str,
    url: str,
    name: str,
    uploads: Path | None,
    definitions: Path | None,
    max_upload: int,
    names: tuple[str, ...],
    register: Path | None,
    trust: Path | None,
    issuer: str,
    folder: Path | None,
    passphrase: str,
) -> None:
    """Serve the desk of a center: applications, reviews, certificates, the public list; until Ctrl-C.

    The first start makes an administrator, and prints a password that is good for one login.
    """
    if missing := [package for package in NEEDED if importlib.util.find_spec(package) is None]:
        raise UsageError(
            f"the desk needs the Python packages {', '.join(missing)}",
            advice="install them: pip install 'xinchuang-harness[desk]'",
        )
    from harness.desk.database import Database
    from harness.desk.office import Office, Seals
    from harness.desk.people import ADMINISTRATOR, first_start
    from harness.desk.serving import Listening, serve
    from harness.signing.keys import KeyStore
    from harness.signing.trust import read_trust

    listening = Listening(host=host, port=port, certificate=certificate, key=key, behind=behind, origin=url)
    listening.checked()
    seals = None
    if names:
        if register is None or trust is None:
            raise UsageError(
                "--key needs --register and --trust: a certificate is entered into a register, and checked against it",
                advice="for example: --key issuer --register register --trust trust",
            )
        store = KeyStore(folder or standard_folder())
        signing = Signing(store=store, names=names, passphrase=read_passphrase(passphrase))
        signing.check()
        seals = Seals(signing=signing, register=Register(register), issuer=issuer, trust=read_trust(trust))
    place, catalogue = queueing.Center(Workspace(workspace)), catalogue_here()
    office = Office(
        desk=Database(place),
        center=place,
        presentation=Presentation.standard(catalogue),
        catalogue=catalogue,
        folder=(uploads or workspace / "uploads").resolve(),  # the scan works in a folder of its own
        definitions=definitions.resolve() if definitions is not None else None,
        seals=seals,
        most_bytes=max_upload * 2**20,
    )
    console = error_console()
    once = first_start(office.desk, name)
    if once is not None:
        console.print(
            f"administrator / 管理员: {ADMINISTRATOR}\none-time password / 一次性口令: {once}",
            highlight=False,
            markup=False,
        )
    serve(office, listening, lambda words: console.print(words, highlight=False, markup=False))
