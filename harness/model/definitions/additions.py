"""What a product adds to the system that it is installed on, and calls of its programs on a command line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import BeforeValidator, Field

from harness.model.definitions.base import Definition, Strings, listed

#: Key of ``Additions`` -> what it is called in the list that a machine gives.
KINDS: Mapping[str, str] = {
    "users": "user",
    "groups": "group",
    "services": "service",
    "cron": "cron",
    "sysctl": "sysctl",
    "settings": "setting",
}


class Additions(Definition):
    """What an installation adds to the system beside files of its own; ``*`` in a name stands for anything."""

    users: Strings = ()
    groups: Strings = ()
    services: Strings = Field(default=(), description="units of systemd and scripts of /etc/init.d, by file name")
    cron: Strings = Field(default=(), description="files of cron, by path or file name; a changed one too")
    sysctl: Strings = Field(default=(), description="files of sysctl, by path or file name; a changed one too")
    settings: Strings = Field(
        default=(),
        description="files of sudoers.d, profile.d and ld.so.conf.d, by path or file name; a changed one too",
    )

    def undeclared(self, kind: str, names: Collection[str]) -> list[str]:
        """Those of ``names`` (of a key of ``KINDS``) that it does not have."""
        return sorted(name for name in names if not any(_is(name, pattern) for pattern in getattr(self, kind)))

    def missing(self, kind: str, names: Collection[str]) -> list[str]:
        """What it has of a kind, and nothing of ``names`` is."""
        return [pattern for pattern in getattr(self, kind) if not any(_is(name, pattern) for name in names)]


def _is(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern)


class Call(Definition):
    """A call of the product's program on a command line: what it must print, and how it must end."""

    run: str = Field(min_length=1, description="template; runs in the application's machine as its user")
    shows: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        default=(),
        description="texts that stand in its output; {version} is the declared version, compared by its parts",
    )
    status: int = Field(default=0, ge=0, le=255)
    seconds: float = Field(default=30, gt=0, description="limit, scaled by the target's factor")
