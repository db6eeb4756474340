"""SQL of a database in one of its compatibility modes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from harness.model.definitions.base import Certainty, Definition, SqlFamily, Strings


class SqlMode(Definition):
    """What a database takes in one of its modes, as far as it differs from the family of that mode.

    ``takes`` and ``refuses`` name what rules of the static scan look for, in the words of those rules (``NVL (``, a
    type of a column, a quote, a shape such as ``update-join``).
    """

    sql: SqlFamily = Field(description="family whose SQL it takes in this mode")
    setting: dict[str, str] = Field(
        default={}, description="name and value that a server of this mode shows; `observe` of the entry asks for it"
    )
    takes: Strings = Field(default=(), description="what its family refuses and it takes")
    refuses: Strings = Field(default=(), description="what its family takes and it refuses")
    reserved_as: SqlFamily | None = Field(
        default=None, description="family whose reserved words it has; not given: that of `sql`"
    )
    reserved: Strings = Field(default=(), description="further words that are no name without quotes")
    free: Strings = Field(default=(), description="words that its family reserves and it does not")
    types: dict[str, str] = Field(
        default={}, description="type of another database -> what this one calls it; UPPER CASE, without lengths"
    )
    lengths: Literal["bytes", "characters"] | None = Field(
        default=None, description="what VARCHAR(n) counts; not given: bytes in the Oracle family, else characters"
    )
    empty_is_null: bool | None = Field(
        default=None, description="whether '' is NULL; not given: in the Oracle family alone"
    )
    certainty: Certainty
    source: str = Field(min_length=1)

    @property
    def counts_bytes(self) -> bool:
        """Whether VARCHAR(n) counts bytes."""
        return self.lengths == "bytes" or (self.lengths is None and self.sql == "oracle")

    @property
    def has_no_empty_string(self) -> bool:
        """Whether '' is NULL."""
        return self.sql == "oracle" if self.empty_is_null is None else self.empty_is_null
