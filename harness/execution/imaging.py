"""The database of a cell in its vendor's image: what the image is started with, and the facts of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.attest.attestation import BY_INVENTORY, attest_database, database_facts
from harness.control.deployment import Deployment
from harness.control.imaged import ImagedServer
from harness.control.servers import CellDatabase
from harness.endpoints.asking import Account
from harness.endpoints.images import PlacedImage, licence_of
from harness.errors import HarnessBug
from harness.execution.attempt import Attempt
from harness.execution.contexts import Secrets
from harness.execution.endpoints import DATABASE, attest_by_driver
from harness.execution.making import Target
from harness.model.attestation import Attestation, Fact
from harness.model.recipe import Environment

#: Lines of a licence that are masked wherever they are printed: shorter ones may be ordinary words.
LINE = 12


def prepare_image(attempt: Attempt, target: Target, deployment: Deployment, secrets: Secrets) -> None:
    """Write into the database's container what starts it: environment, licence, administrator. Nothing is started.

    Raises:
        UsageError: the licence file is not there.
        AttestationMismatch: nothing says what is to be started.
        InfrastructureError: the container does not take it.
    """
    placed, server = attempt.placed.image, deployment.database
    recipe, started = server.definition.image, target.environments[DATABASE].started
    if placed is None or recipe is None or started is None:
        raise HarnessBug("a database in an image, without one")
    password = recipe.admin_password or secrets.administrator.get_secret_value()
    asked = server.definition.endpoint
    maintenance = recipe.maintenance or (asked.maintenance if asked is not None else "")
    server.administrator = Account(user=recipe.admin, password=password, database=maintenance)
    licence = licence_of(placed)
    attempt.record.hidden += [password, *_lines(licence)]
    imaged = ImagedServer(
        definition=server.definition,
        started=started,
        values={"db": server.access.values(), "admin": {"user": recipe.admin, "password": password}},
        licence=licence,
    )
    imaged.install(server.machine)
    attempt.keep_attestation(DATABASE, Attestation(facts=_facts(placed, target.environments[DATABASE], licence)))


def attest_imaged(server: CellDatabase, placed: PlacedImage) -> Attestation:
    """Version and settings of the server against what catalogue and inventory declare."""
    image = placed.image
    if server.by_driver:
        return attest_by_driver(server, (), image.declared, image.settings)
    version, settings = server.version(), server.settings()
    own = attest_database(server.definition, version, settings).facts
    shown = " ".join(version.split())[:300]
    return Attestation(facts=(*own, *database_facts(shown, settings, image.declared, image.settings, BY_INVENTORY)))


def _facts(placed: PlacedImage, environment: Environment, licence: bytes | None) -> tuple[Fact, ...]:
    image = placed.image
    source = f"{Path(image.archive).name}, sha256 {image.sha256}" if image.archive else image.reference
    facts = [Fact(name="database image", declared="", observed=f"{source}, id {environment.image}")]
    if licence is not None:
        digest = hashlib.sha256(licence).hexdigest()
        facts.append(Fact(name="database licence", declared="", observed=f"sha256 {digest}"))
    return tuple(facts)


def _lines(licence: bytes | None) -> list[str]:
    """What of a licence must not be shown: the whole text, and each long line; a binary one has no lines."""
    try:
        text = (licence or b"").decode()
    except UnicodeDecodeError:
        return []
    return [part for part in (text.strip(), *map(str.strip, text.splitlines())) if len(part) >= LINE]
