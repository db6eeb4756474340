"""What a campaign was tested with, by content: a name alone says nothing of what stands behind it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from harness.model.definitions.base import Text

#: ``shipped``: the harness ships exactly this by this name. ``replaced``: it ships something else by this name.
#: ``own``: it ships nothing by this name.
Origin = Literal["shipped", "replaced", "own"]
ORIGINS: dict[str, Text] = {
    "shipped": Text(zh="随附", en="shipped"),
    "replaced": Text(zh="非随附", en="not the shipped one"),
    "own": Text(zh="自有", en="own"),
}
KINDS: dict[str, Text] = {
    "suite": Text(zh="测试套", en="suite"),
    "rules": Text(zh="规则", en="rules"),
    "profile": Text(zh="负载参数", en="profile"),
    "locustfile": Text(zh="负载脚本", en="locustfile"),
    "cpu": Text(zh="处理器", en="cpu"),
    "os": Text(zh="操作系统", en="os"),
    "database": Text(zh="数据库", en="database"),
    "middleware": Text(zh="中间件", en="middleware"),
    "runtime": Text(zh="运行时", en="runtime"),
}
#: What is part of a suite, and stands in its line.
PARTS = ("rules", "profile", "locustfile")


class Basis(BaseModel):
    """A suite, a part of one, or a target. ``shipped``: SHA-256 of what the harness ships by this name; empty where it
    ships nothing. The paths are those of whoever read the definitions, and are not recorded."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    kind: str
    name: str
    version: str = ""
    sha256: str
    shipped: str = ""
    path: Path = Path()
    shipped_path: Path = Path()

    @property
    def origin(self) -> Origin:
        """Whose it is: shipped, in the place of what is shipped, or the author's own."""
        return "own" if not self.shipped else "shipped" if self.shipped == self.sha256 else "replaced"

    @property
    def recorded(self) -> dict[str, str]:
        """What a record keeps of it, as JSON values."""
        return {
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "sha256": self.sha256,
            "shipped": self.shipped,
            "origin": self.origin,
        }

    @property
    def warning(self) -> str:
        """What whoever plans a campaign must know; both contents by path and digest."""
        return (
            f"not the shipped {self.kind} {self.name} 非随附{KINDS[self.kind].zh}: {self.path} (SHA-256 {self.sha256}) "
            f"stands in for {self.shipped_path} (SHA-256 {self.shipped})"
        )


def replaced_names(basis: tuple[dict[str, str], ...]) -> list[str]:
    """Kind and name of everything that stands in for what the harness ships by its name; parts of suites left out."""
    return [
        f"{entry['kind']} {entry['name']}"
        for entry in basis
        if entry["origin"] == "replaced" and entry["kind"] not in PARTS
    ]


def basis_rows(basis: tuple[dict[str, str], ...]) -> list[dict[str, Any]]:
    """Rows of a table: kind, name, version, digest, and whether it is what the harness ships by its name."""
    return [
        {
            "kind": KINDS[entry["kind"]].model_dump(),
            "name": entry["name"],
            "version": entry["version"],
            "sha256": entry["sha256"],
            "origin": {"word": entry["origin"], **ORIGINS[entry["origin"]].model_dump()},
        }
        for entry in basis
    ]
