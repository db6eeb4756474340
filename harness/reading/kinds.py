"""Every kind of definition: its model, and the files that hold it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from harness.model.definitions import (
    Accelerator,
    Application,
    Commission,
    Cpu,
    Database,
    Hosts,
    IssuerProfile,
    LoadProfile,
    Matrix,
    Middleware,
    Os,
    Policy,
    Rules,
    Runtime,
    Suite,
    Waivers,
    WordingFile,
)

KINDS: dict[str, type[BaseModel]] = {
    "application": Application,
    "matrix": Matrix,
    "suite": Suite,
    "profile": LoadProfile,
    "cpu": Cpu,
    "os": Os,
    "database": Database,
    "middleware": Middleware,
    "runtime": Runtime,
    "accelerator": Accelerator,
    "hosts": Hosts,
    "waivers": Waivers,
    "policy": Policy,
    "issuer": IssuerProfile,
    "commission": Commission,
    "wording": WordingFile,
    "rules": Rules,
}

#: First line of a file, by which editors find the schema (yaml-language-server and those that follow it).
MODELINE = "# yaml-language-server: $schema="


def schema_of(kind: str) -> dict[str, Any]:
    """JSON Schema (2020-12) of a kind: what an editor shows and checks while a definition is written.

    It is as strict as the model on keys and types; rules between keys are checked by ``harness lint``.
    """
    schema = KINDS[kind].model_json_schema(mode="validation")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": kind}


def schema_text(kind: str) -> str:
    return json.dumps(schema_of(kind), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def kind_of(path: Path) -> str | None:
    """Kind of a file by its name, or by the folder that it lies in; None where neither tells."""
    if path.stem in KINDS:
        return path.stem
    folder = path.parent.name
    return "issuer" if folder == "issuers" else folder if folder in KINDS else None


def write_schemas(folder: Path, kinds: tuple[str, ...] = tuple(KINDS)) -> list[Path]:
    """Write ``KIND.schema.json`` for each kind."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{kind}.schema.json" for kind in kinds]
    for kind, path in zip(kinds, paths, strict=True):
        path.write_text(schema_text(kind), encoding="utf-8")
    return paths


def with_modeline(path: Path, text: str, schemas: Path) -> str:
    """``text`` of the definition at ``path`` with the line that names its schema; unchanged where it has it."""
    kind = kind_of(path)
    if kind is None:
        return text
    line = f"{MODELINE}{os.path.relpath(schemas / f'{kind}.schema.json', path.parent)}"
    first, _, rest = text.partition("\n")
    return f"{line}\n{rest if first.startswith(MODELINE) else text}"
