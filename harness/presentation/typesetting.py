"""PDF by Typst: a template of ``reports/`` with its data as JSON; the same content always gives the same bytes.

A template reads ``data.json`` and the files that are handed over with it, and nothing outside of its folder.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typst

from harness.errors import DefinitionError, Fault, InfrastructureError
from harness.presentation import Presentation
from harness.system.printable import visible
from harness.system.scratch import temporary_folder

#: Without them Chinese text, or the shapes of titles, would be missing from a certificate.
FONTS = ("Noto Sans CJK SC", "Noto Serif CJK SC", "Noto Sans", "Noto Serif")
#: Pictures that a template names in so many words; those of a profile are handed over.
_PICTURE = re.compile(r"""image\(\s*"([\w.-]+\.(?:svg|png|jpe?g))\"""")

_PACKAGE = re.compile(r"""(?:import|include)\s*\(?\s*"@""")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a template wants something on a page: ``page`` counts from 1; millimetres from the top left corner."""

    page: int
    x: float
    y: float
    width: float
    height: float


def _needed(presentation: Presentation) -> list[Path]:
    """Templates, a center's own before those that are shipped, and the pictures that they name."""
    names = {path.name for folder in presentation.folders if folder.is_dir() for path in folder.glob("*.typ")}
    templates = [presentation.path(name) for name in sorted(names)]
    named = {
        name for path in templates for name in _PICTURE.findall(path.read_text(encoding="utf-8", errors="replace"))
    }
    pictures = [next((f / name for f in presentation.folders if (f / name).is_file()), None) for name in sorted(named)]
    return [*templates, *(path for path in pictures if path is not None)]


@functools.cache
def fonts() -> typst.Fonts:
    """Every font of this machine, looked for once.

    Raises:
        InfrastructureError: one that documents need is missing.
    """
    installed = typst.Fonts()
    known = set(installed.families())
    if missing := [name for name in FONTS if name not in known]:
        raise InfrastructureError(
            f"fonts are missing: {', '.join(missing)}", advice="make setup (packages fonts-noto-cjk, fonts-noto-core)"
        )
    return installed


def typeset(
    presentation: Presentation,
    template: str,
    data: Mapping[str, Any],
    files: Mapping[str, bytes] | None = None,
    *,
    moment: int = 0,
) -> tuple[bytes, dict[str, Place]]:
    """PDF of a template, and the places that it names with ``<place>`` (name -> place).

    ``moment``: seconds since 1970 that the document gives as its time.

    Raises:
        DefinitionError: the template is missing or faulty.
        InfrastructureError: a font is missing.
    """
    path = presentation.path(template)
    known = fonts()
    with temporary_folder("typeset") as scratch:
        root = Path(scratch)
        for file in _needed(presentation):
            (root / file.name).write_bytes(file.read_bytes())
            if file.suffix == ".typ" and _PACKAGE.search(file.read_text(encoding="utf-8", errors="replace")):
                raise DefinitionError(
                    [
                        Fault(
                            file=str(file),
                            line=1,
                            column=1,
                            message="packages are not fetched: a template stands alone",
                        )
                    ]
                )
        for name, content in (files or {}).items():
            (root / name).write_bytes(content)
        (root / "data.json").write_bytes(json.dumps(visible(data), ensure_ascii=False).encode("utf-8", "replace"))
        try:
            compiler = typst.Compiler(
                root / template,
                root=root,
                font_paths=known,
                package_path=root / "none",
                package_cache_path=root / "none",
            )
            pdf = compiler.compile(format="pdf", timestamp=moment)
            places = json.loads(compiler.query("<place>", field="value"))
        except (typst.TypstError, RuntimeError) as error:
            reason = str(error).replace(scratch, "").strip() or "it cannot be typeset"
            raise DefinitionError(
                [Fault(file=str(path), line=1, column=1, message=f"template fault: {reason}")]
            ) from error
    assert isinstance(pdf, bytes)
    return pdf, {place.pop("name"): Place(**place) for place in places}


def drawn(pictures: Mapping[str, str], *, dots: int = 144) -> dict[str, bytes]:
    """SVG pictures as PNG, by the same names, with ``dots`` an inch: for documents that take no SVG.

    Raises:
        InfrastructureError: a font is missing, or a picture cannot be drawn.
    """
    if not pictures:
        return {}
    known = fonts()
    with temporary_folder("drawing") as scratch:
        root = Path(scratch)
        lines = ["#set page(width: auto, height: auto, margin: 0pt)"]
        for number, picture in enumerate(pictures.values()):
            (root / f"{number}.svg").write_text(picture, encoding="utf-8")
            lines.append(f'#image("{number}.svg")')
        (root / "pictures.typ").write_text(
            "\n#pagebreak()\n".join(["\n".join(lines[:2]), *lines[2:]]), encoding="utf-8"
        )
        try:
            pages = typst.compile(
                root / "pictures.typ",
                root=root,
                font_paths=known,
                format="png",
                ppi=dots,
                package_path=root / "none",
                package_cache_path=root / "none",
            )
        except (typst.TypstError, RuntimeError) as error:
            raise InfrastructureError(
                f"a picture cannot be drawn: {error}", advice="report this with the record"
            ) from error
    images = pages if isinstance(pages, list) else [pages]
    assert len(images) == len(pictures)
    return dict(zip(pictures, images, strict=True))


def picture_of(svg: str, *, dots: int = 144) -> bytes:
    """PNG of an SVG; each of its pixels is a point of 1/72 inch. Raises InfrastructureError as ``drawn``."""
    return drawn({"picture": svg}, dots=dots)["picture"]
