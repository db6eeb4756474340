"""Detectors that look at ELF files, by the name that rules call them."""

from __future__ import annotations

from harness.scan.architectures import architecture, objects, truncated
from harness.scan.claims import label
from harness.scan.instructions import extension, x86_level
from harness.scan.loading import loongarch_world, marker, page_alignment, symbol_version
from harness.scan.musl import foreign_libc

DETECTORS = {
    "architecture": architecture,
    "objects": objects,
    "label": label,
    "truncated": truncated,
    "x86-level": x86_level,
    "extension": extension,
    "symbol-version": symbol_version,
    "loongarch-world": loongarch_world,
    "page-alignment": page_alignment,
    "marker": marker,
    "foreign-libc": foreign_libc,
}
