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
    Databases,
    Efforts,
    Hosts,
    IssuerProfile,
    LoadProfile,
    Matrix,
    Middleware,
    Os,
    Policy,
    Rules,
    Runtime,
    SqlFeatures,
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
    "databases": Databases,
    "waivers": Waivers,
    "policy": Policy,
    "issuer": IssuerProfile,
    "commission": Commission,
    "wording": WordingFile,
    "rules": Rules,
    "features": SqlFeatures,
    "efforts": Efforts,
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
    """The JSON Schema of a kind as indented text that ends with a newline."""
    return json.dumps(schema_of(kind), ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def kind_of(path: Path) -> str | None:
    """Kind of a file by its name, or by the folder that it lies in; None where neither tells."""
    if path.stem in KINDS:
        return path.stem
    folder = path.parent.name
    return "issuer" if folder == "issuers" else folder if folder in KINDS else None


def kind_of_content(value: Any) -> str | None:
    """The kind whose keys fit best what a file holds; None where its keys fit none."""
    if not isinstance(value, dict):
        return None
    keys = {str(key) for key in value}
    misfits: dict[str, int] = {}
    for kind, model in KINDS.items():
        known = {field.alias or name for name, field in model.model_fields.items()}
        needed = {field.alias or name for name, field in model.model_fields.items() if field.is_required()}
        if keys & known and needed & keys:
            misfits[kind] = len(keys - known) + len(needed - keys)
    return min(misfits, key=lambda kind: misfits[kind]) if misfits else None


def kind_of_file(path: Path, value: Any) -> str | None:
    """Kind of a file whose content was read: by its keys where they fit a kind well, else by its name."""
    by_content, by_name = kind_of_content(value), kind_of(path)
    if by_content is None or by_name is None:
        return by_name or by_content
    own = {field.alias or name for name, field in KINDS[by_name].model_fields.items()}
    # A file by the name of a kind with some wrong keys is that kind; with no right key, it is what it holds.
    return by_name if by_name == "wording" or own & {str(key) for key in value} else by_content


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
