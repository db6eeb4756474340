"""Which image of the laboratory can be the database of a cell, and how the server in it is asked from this machine."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.endpoints.drivers import DRIVERS
from harness.errors import UsageError
from harness.model.definitions import Database, DatabaseImage, Databases, Endpoint
from harness.model.definitions.endpoint import DriverName

#: Largest licence file that is read, in bytes.
MOST = 1 << 20

#: Name of an image that the catalogue's entry names itself.
OF_CATALOGUE = "catalogue"


@dataclass(frozen=True)
class PlacedImage:
    """An image with the entry of the catalogue that says how it is run."""

    image: DatabaseImage
    database: Database

    @property
    def where(self) -> str:
        """By what messages name it."""
        image = self.image
        what = Path(image.archive).name if image.archive else image.reference
        return f"image {image.image} ({what})"

    @property
    def driver(self) -> DriverName | None:
        """What it is asked with from this machine; None where the client in the image does that."""
        recipe, endpoint = self.database.image, self.database.endpoint
        if recipe is None or recipe.by_client or endpoint is None:
            return None
        return self.image.driver or endpoint.driver

    @property
    def obstacle(self) -> str:
        """Why no server can be made of it here; empty where one can."""
        recipe = self.database.image
        if recipe is None or not self.database.runs_as_image:
            return f"targets/database/{self.database.database}.yaml does not say how it is run (image)"
        lacking = [DRIVERS[self.driver].missing] if self.driver is not None else []
        if recipe.licence is not None and recipe.licence.required and self.image.licence is None:
            lacking.append("it does not start without a licence file: name it in databases.yaml (licence: file:PATH)")
        try:
            licence_of(self)
        except UsageError as error:
            lacking.append(error.message.removeprefix(f"{self.where}: "))
        if self.image.archive and not Path(self.image.archive).is_file():
            lacking.append(f"no archive of an image at {self.image.archive}")
        return "; ".join(filter(None, lacking))

    def endpoint_at(self, address: str, port: int) -> Endpoint:
        """The server in a cell's container as one that is asked with SQL; ``address`` and ``port`` as this machine
        reaches it."""
        recipe, asked = self.database.image, self.database.endpoint
        assert recipe is not None
        assert asked is not None
        return Endpoint(
            endpoint=self.image.image,
            database=self.database.database,
            address=address,
            port=port,
            user=recipe.admin,
            driver=self.driver,
            maintenance=recipe.maintenance or asked.maintenance,
        )


def licence_of(placed: PlacedImage) -> bytes | None:
    """Content of the licence file that the inventory names; None where it names none.

    Raises:
        UsageError: it is not there, or too large.
    """
    reference = placed.image.licence
    if reference is None:
        return None
    kind, _, name = reference.partition(":")
    if kind == "env":
        value = os.environ.get(name)
        if value is None:
            raise UsageError(
                f"{placed.where}: the environment variable {name}, which holds its licence, is not set",
                advice=f"set {name}, and repeat",
            )
        return value.encode()
    try:
        path = Path(name)
        size = path.stat().st_size
        if size > MOST:
            raise UsageError(
                f"{placed.where}: {name} has {size} bytes; a licence file has at most {MOST}",
                advice="correct `licence` in databases.yaml",
            )
        return path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{placed.where}: its licence file {name} cannot be read: {error.strerror}",
            advice="correct `licence` in databases.yaml",
        ) from error


def images_for(databases: Databases | None, database: Database, architecture: str) -> list[PlacedImage]:
    """Images that can be the database of a cell: those of databases.yaml, else the one that the entry names."""
    named = [
        PlacedImage(image, database)
        for image in (databases.images if databases is not None else ())
        if image.database == database.database and image.architecture == architecture
    ]
    pulled = database.image.pulled if database.image is not None else {}
    of_entry = [
        DatabaseImage.model_validate(
            {
                "image": OF_CATALOGUE,
                "database": database.database,
                "architecture": architecture,
                "reference": reference,
            }
        )
        for name, reference in pulled.items()
        if name == architecture
    ]
    return named or [PlacedImage(image, database) for image in of_entry]
