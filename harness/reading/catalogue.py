"""Where definitions are looked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import harness


@dataclass(frozen=True)
class Catalogue:
    """Where definitions are looked for, in this order. It is passed in: nothing asks for the current directory.

    ``whole``: whether it holds every definition that there is. Kept inputs hold what one plan uses, so a name that
    they lack is no fault: the names were checked when the campaign was submitted.
    ``trusts_code``: whether code of suites that are not shipped may run as this process, without a sandbox.
    """

    roots: tuple[Path, ...]
    whole: bool = True
    trusts_code: bool = False

    @classmethod
    def standard(cls, beside: Path | None = None) -> Catalogue:
        """What is shipped, and before it what lies in the folder ``beside``: ``targets``, ``suites``, ``reports``."""
        package = Path(harness.__file__).parent
        builtin = package / "_builtin" if (package / "_builtin").is_dir() else package.parent
        own = () if beside is None or beside.resolve() == builtin.resolve() else (beside,)
        return cls((*own, builtin))

    @classmethod
    def shipped(cls) -> Path:
        """The folder of what comes with this harness."""
        return cls.standard().roots[-1]

    def find(self, *parts: str) -> Path | None:
        """The file at a path below the first root that has it; None where no root has it."""
        return next((p for root in self.roots if (p := root.joinpath(*parts)).exists()), None)

    def names(self, folder: str) -> list[str]:
        """The names of the YAML files in a folder of any root, sorted."""
        return sorted({path.stem for root in self.roots for path in (root / folder).glob("*.yaml")})

    def suites(self) -> list[str]:
        """The names of all suites, sorted."""
        names = set()
        for root in self.roots:
            base = root / "suites"
            names |= {str(path.parent.relative_to(base)) for path in base.glob("**/suite.yaml")}
        return sorted(names)
