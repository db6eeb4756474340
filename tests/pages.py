"""Text of PDF files, as PDFium (Chromium's reader) finds it."""

from __future__ import annotations

from pathlib import Path

import pypdfium2


def pdf_text(pdf: bytes | Path | str) -> str:
    """All text of all pages, in reading order."""
    document = pypdfium2.PdfDocument(pdf)
    try:
        return "".join(page.get_textpage().get_text_bounded() for page in document).replace("\u200b", "")
    finally:
        document.close()


def solid(pdf: bytes | Path | str) -> str:
    """The same without white space: where lines break is not ours to say."""
    return "".join(pdf_text(pdf).split())
