"""What the installation of a product changed on its system, held against what the product declares."""

from __future__ import annotations

from dataclasses import dataclass

from harness.control.installation import Installation
from harness.control.owners import owned
from harness.errors import InfrastructureError
from harness.model.definitions import Additions
from harness.model.definitions.additions import KINDS
from harness.provision.system_state import BEFORE, LIST, SystemState

#: Of what stays after a removal, these do something without the product: a timer, a unit, a setting of the kernel.
ACTING = ("services", "cron", "sysctl", "settings")


@dataclass(frozen=True)
class Changes:
    """Key of ``Additions`` -> what is there now and was not there before, or is another; and what is gone."""

    added: dict[str, list[str]]
    gone: dict[str, list[str]]

    @classmethod
    def of(cls, installation: Installation) -> Changes | None:
        """The difference between the system before the product came and now; None where no list of before was made,
        because the machine was made of an image of the vendor.

        Raises:
            InfrastructureError: the system could not be listed, then or now.
        """
        machine, seconds = installation.machine, 60 * installation.context.factor
        try:
            before = SystemState.of(machine.get(BEFORE).decode(errors="surrogateescape"))
        except FileNotFoundError:
            if any(artifact.install == "image" for artifact in installation.context.application.artifacts):
                return None
            before = None
        now = SystemState.of(machine.run(LIST, timeout=seconds).out)
        if before is None or now is None:
            when = "before the product came" if before is None else "now"
            raise InfrastructureError(
                f"{machine.name}: what the system has {when} could not be listed",
                advice="the machine needs sh, find, cut, cksum, sed and sort",
            )
        return cls(
            added={key: now.added(before, kind) for key, kind in KINDS.items()},
            gone={key: now.gone(before, kind) for key, kind in KINDS.items()},
        )

    def listing(self) -> str:
        """All of it for people, a line each."""
        lines = [f"+ {key}: {name}" for key, names in self.added.items() for name in names]
        lines += [f"- {key}: {name}" for key, names in self.gone.items() for name in names]
        return "\n".join(lines) or "no difference"

    def undeclared(self, declared: Additions) -> list[str]:
        """What was added, or is gone, and is not declared."""
        return [
            *(f"{key}: {name}" for key, names in self.added.items() for name in declared.undeclared(key, names)),
            *(f"{key}: {name} (gone)" for key, names in self.gone.items() for name in names),
        ]

    def missing(self, declared: Additions) -> list[str]:
        """What is declared and was not added."""
        return [f"{key}: {name}" for key, names in self.added.items() for name in declared.missing(key, names)]

    def acting(self, installation: Installation) -> list[str]:
        """Of what is there and was not: what acts without the product. What belongs to a package that is still
        installed is that package's: the product only needed it.

        Raises:
            InfrastructureError: the files could not all be looked at.
        """
        paths = [name for key in ACTING for name in self.added[key]]
        of_others = owned(installation.each, paths)
        return [f"{key}: {name}" for key in ACTING for name in self.added[key] if name not in of_others]
