"""A resource of the product for which YAML is not enough: a class of its vendor."""

from __future__ import annotations

from pydantic import Field

from harness.model.definitions.base import Definition


class VendorResource(Definition):
    """A class beside application.yaml with create, read, update, delete and texts; it runs in a sandbox."""

    python: str = Field(
        pattern=r"^[^:]+\.py:[A-Za-z_][A-Za-z0-9_]*$",
        description="FILE.py:CLASS; a file in a folder of its own may use what lies beside it",
    )
    key: str = Field(default="n{{ n }}", description="template that makes a fresh key from `n`, a number")
    stored: str = Field(default="", description="SQL that gives the stored text of `key`, one row; none: not looked at")

    @property
    def file(self) -> str:
        """The file, from the folder of application.yaml."""
        return self.python.rpartition(":")[0]

    @property
    def class_name(self) -> str:
        """The class in it."""
        return self.python.rpartition(":")[2]

    @property
    def readable(self) -> str:
        """What it may read, from the folder of application.yaml: its file, or the folder that this is in."""
        return self.file.rpartition("/")[0] or self.file
