"""The JSON forms of a campaign: the short one that scripts rely on, and the full record."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import BaseModel, TypeAdapter

from harness.model.results import Result
from harness.model.view import CampaignView

SCHEMA = "https://xinchuang-harness/campaign/v1"


def campaign_summary(view: CampaignView, outputs: dict[str, str]) -> dict[str, Any]:
    """The stable shape of ``run``, ``resume`` and ``show``."""
    return {
        "campaign": view.id,
        "verdict": view.verdict.value,
        "profile": view.profile,
        "unverified": view.unverified,
        "cells": [
            {
                "id": cell.id,
                "axes": cell.axes,
                "fidelity": cell.fidelity.value if cell.fidelity is not None else None,
                "verdict": cell.verdict.value,
                "cause": cell.cause.value if cell.cause is not None else None,
                "message": cell.message,
                "reasons": list(cell.reasons),
                "attempts": len(cell.attempts),
                "unsteady": cell.unsteady,
                "cases": {result.value: cell.count(result) for result in Result},
                # of these, rules of static scans, for which nothing ran
                "static": {result.value: cell.count(result) - cell.counts[result] for result in Result},
                "seconds": cell.seconds,
            }
            for cell in view.cells
        ],
        "outputs": outputs,
    }


def full_record(view: CampaignView) -> dict[str, Any]:
    """Everything of the view as plain JSON values: the authoritative form of the report."""
    value: dict[str, Any] = _plain(view)
    return {"schema": SCHEMA, "coverage": view.coverage, **value}


def record_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of ``full_record``, published as ``schemas/outputs/campaign.schema.json``."""
    schema = TypeAdapter(CampaignView).json_schema(mode="serialization")
    properties = {
        "schema": {"const": SCHEMA},
        "coverage": {"type": "object", "additionalProperties": {"type": "integer"}},
        **schema["properties"],
    }
    return {
        **schema,
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA,
        "title": "campaign.json",
        "properties": properties,
        "required": ["schema", "coverage", *schema["required"]],
        "additionalProperties": False,
    }


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return value
