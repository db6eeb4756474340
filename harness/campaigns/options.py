"""How a campaign is run, watched and handed over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from harness.errors import UsageError
from harness.hosts.inventory import Inventory
from harness.model.choice import CaseChoice
from harness.model.definitions import Databases, Hosts, Profile, Retries
from harness.model.definitions.base import listed
from harness.reading.parsing import parse
from harness.system.makers import cache_folder

__all__ = ["RunOptions", "cache_folder", "databases_at", "inventory_at"]


def _line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a character that cannot be printed")
    return text


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run. ``allow_expired`` names operating systems; ``only`` restricts cells by axis values."""

    mirror: str = ""
    allow_expired: tuple[str, ...] = ()
    no_cache: bool = False
    jobs: int = 0
    retry_failed: int | None = None  #: instead of what the matrix says
    only: dict[str, str] = field(default_factory=dict)
    suites: tuple[str, ...] = ()  #: the suites to run; with ``cases`` empty too: all
    cases: tuple[str, ...] = ()  #: cases to run beside those, by id
    keep: bool = False  #: whether machines of cells that failed stay, for a look at them
    hosts: str = ""  #: file of the inventory; none where it is empty
    databases: str = ""  #: file of the laboratory's database servers, likewise
    brought_images: bool = False  #: whether images that a bundle brought may be used, where none was made here
    profile: Profile | None = None  #: of the suites; None: the one that the matrix names
    trust_code: bool = False  #: whether code that is not shipped runs here without a sandbox

    @property
    def choice(self) -> CaseChoice:
        """The cases to run, for all cells of the campaign: those that are left when it is resumed may have none."""
        return CaseChoice(suites=frozenset(self.suites), cases=frozenset(self.cases))

    def retries(self, declared: Retries) -> Retries:
        """How often a cell is tried again: as the matrix says, but for what is named here."""
        return declared if self.retry_failed is None else declared.model_copy(update={"fail": self.retry_failed})

    def plain(self) -> dict[str, Any]:
        """Every option as JSON values, to be kept with the campaign; without the password of a mirror."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values |= {name: list(getattr(self, name)) for name in ("allow_expired", "suites", "cases")}
        values["mirror"] = _without_password(self.mirror)
        for name in ("hosts", "databases"):
            values[name] = str(Path(getattr(self, name)).absolute()) if getattr(self, name) else ""
        return values

    @classmethod
    def kept(cls, plain: Mapping[str, Any]) -> RunOptions:
        """The options that ``plain`` gave; what an older harness did not keep is as if it was not named.

        Raises:
            UsageError: they are no options.
        """
        try:
            values = _Kept.model_validate(plain)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(ascii(part)[1:-1] if isinstance(part, str) else str(part) for part in first["loc"])
            raise UsageError(
                f"the options that were kept are none: {place[:100]}: {first['msg']}", advice="begin a new campaign"
            ) from error
        return cls(**{each.name: getattr(values, each.name) for each in fields(cls)})

    def with_named(self, named: RunOptions) -> RunOptions:
        """These options, and over them those that ``named`` sets to something else than the default."""
        default = RunOptions()
        values = {each.name: getattr(named, each.name) for each in fields(named)}
        return replace(self, **{name: value for name, value in values.items() if value != getattr(default, name)})


#: A text of one line, as an option of the command line is: what is shown on a terminal moves no cursor there.
_Line = Annotated[str, Field(max_length=4096), AfterValidator(_line)]


class _Kept(BaseModel):
    """Options as they stand in a record or a bundle."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    mirror: _Line = ""
    allow_expired: Annotated[tuple[_Line, ...], BeforeValidator(listed)] = ()
    no_cache: bool = False
    jobs: int = Field(default=0, ge=0, le=256)
    retry_failed: int | None = Field(default=None, ge=0, le=5)
    only: dict[_Line, _Line] = {}
    suites: Annotated[tuple[_Line, ...], BeforeValidator(listed)] = ()
    cases: Annotated[tuple[_Line, ...], BeforeValidator(listed)] = ()
    keep: bool = False
    hosts: _Line = ""
    databases: _Line = ""
    brought_images: bool = False
    profile: Profile | None = None
    trust_code: bool = False


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    if "@" not in parts.netloc:
        return address
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def inventory_at(path: str) -> Inventory | None:
    """The inventory of lab hosts in a file, with the keys that were confirmed beside it; None where none is named.

    Raises:
        UsageError: there is no such file.
        DefinitionError: it is wrong.
    """
    if not path:
        return None
    file = _there(path, "no inventory", "--hosts")
    return Inventory(parse(file, Hosts), file.with_name("known_hosts"))


def databases_at(path: str) -> Databases | None:
    """The laboratory's database servers in a file; None where none is named.

    Raises:
        UsageError: there is no such file.
        DefinitionError: it is wrong.
    """
    if not path:
        return None
    file = _there(path, "no inventory of database servers", "--databases")
    return parse(file, Databases).beside(file.parent)


def _there(path: str, absence: str, option: str) -> Path:
    file = Path(path)
    if not file.is_file():
        raise UsageError(f"{absence} at {path}", advice=f"name one with {option}; its keys: docs/reference")
    return file
