"""The parts that a document in Word is made of: headings, paragraphs, tables, pictures (ISO/IEC 29500).

Tables are written as XML at once: the cell-wise interface of python-docx looks a whole table up for each cell.
"""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from harness.system.printable import visible

if TYPE_CHECKING:
    from docx.document import Document

#: Twentieths of a point in a millimetre.
_TWIPS = 1440 / 25.4
_EMPTY = "—"
_W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
SOFT, RED, NAVY, TINT = "59606B", "B3261E", "143A66", "EEF2F7"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A cell of a table: its lines, how many columns it takes, and how it looks."""

    lines: Sequence[str]
    span: int = 1
    fill: str = ""
    bold: bool = False
    colour: str = ""


def box(*lines: str, **how: Any) -> Box:
    """A cell with these lines."""
    return Box(lines=lines, **how)


def name(zh: str, en: str) -> Box:
    """A cell that names a row or a column."""
    return Box(lines=(zh, en) if zh != en else (zh,), fill=TINT, bold=True)


def both(text: dict[str, str]) -> str:
    """A pair on one line."""
    return text["zh"] if text["zh"] == text["en"] else f"{text['zh']} {text['en']}"


def _run(text: str, *, bold: bool = False, colour: str = "", size: float = 0) -> str:
    look = "<w:b/>" * bold + (f'<w:color w:val="{colour}"/>' if colour else "")
    look += f'<w:sz w:val="{round(size * 2)}"/>' if size else ""
    properties = f"<w:rPr>{look}</w:rPr>" if look else ""
    return f'<w:r>{properties}<w:t xml:space="preserve">{escape(visible(text))}</w:t></w:r>'


def _cell(cell: Box, width: float) -> str:
    paragraphs = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="TableText"/></w:pPr>{_run(line, bold=cell.bold, colour=cell.colour)}</w:p>'
        for line in (cell.lines or (_EMPTY,))
    )
    span = f'<w:gridSpan w:val="{cell.span}"/>' if cell.span > 1 else ""
    fill = f'<w:shd w:val="clear" w:color="auto" w:fill="{cell.fill}"/>' if cell.fill else ""
    return f'<w:tc><w:tcPr><w:tcW w:w="{round(width)}" w:type="dxa"/>{span}{fill}</w:tcPr>{paragraphs}</w:tc>'


def _row(cells: Sequence[Box], widths: Sequence[float], *, heads: bool) -> str:
    parts, column = [], 0
    for cell in cells:
        parts.append(_cell(cell, sum(widths[column : column + cell.span])))
        column += cell.span
    return f"<w:tr><w:trPr><w:cantSplit/>{'<w:tblHeader/>' * heads}</w:trPr>{''.join(parts)}</w:tr>"


@dataclass(kw_only=True)
class Paper:
    """A document that grows at its end."""

    document: Document
    _numbers: list[int] = field(default_factory=lambda: [0, 0])

    def heading(self, level: int, text: str) -> None:
        """A heading; those of levels 1 and 2 are numbered."""
        if level <= 2:
            self._numbers = [self._numbers[0] + 1, 0] if level == 1 else [self._numbers[0], self._numbers[1] + 1]
            text = f"{'.'.join(str(n) for n in self._numbers[:level])} {text}"
        self.document.add_heading(visible(text), level)

    def paragraph(self, text: str, *, style: str = "", bold: bool = False, colour: str = "", size: float = 0) -> None:
        """A paragraph with one look."""
        from docx.shared import Pt, RGBColor

        added = self.document.add_paragraph(style=style or None)
        run = added.add_run(visible(text))
        run.bold = bold or None
        if colour:
            run.font.color.rgb = RGBColor.from_string(colour)
        if size:
            run.font.size = Pt(size)

    def centred(self, text: str, size: float, **how: Any) -> None:
        """A paragraph in the middle, as titles are."""
        from docx.enum.text import WD_ALIGN_PARAGRAPH

        self.paragraph(text, size=size, **how)
        self.document.paragraphs[-1].alignment = WD_ALIGN_PARAGRAPH.CENTER

    def table(self, widths: Sequence[float], rows: Sequence[Sequence[Box]], *, heads: int = 1) -> None:
        """A table; ``widths`` of its columns in millimetres. The first ``heads`` rows are repeated on every page; the
        end of a page tears no row."""
        from docx.oxml import parse_xml

        twips = [width * _TWIPS for width in widths]
        grid = "".join(f'<w:gridCol w:w="{round(width)}"/>' for width in twips)
        body = "".join(_row(row, twips, heads=number < heads) for number, row in enumerate(rows))
        sides = "".join(
            f'<w:{side} w:val="single" w:sz="4" w:space="0" w:color="C3CAD4"/>'
            for side in ("top", "left", "bottom", "right", "insideH", "insideV")
        )
        xml = (
            f'<w:tbl {_W}><w:tblPr><w:tblW w:w="{round(sum(twips))}" w:type="dxa"/><w:tblBorders>{sides}</w:tblBorders>'
            f'<w:tblLayout w:type="fixed"/></w:tblPr><w:tblGrid>{grid}</w:tblGrid>{body}</w:tbl>'
        )
        end = self.document.element.body.sectPr
        end.addprevious(parse_xml(xml))
        end.addprevious(parse_xml(f'<w:p {_W}><w:pPr><w:pStyle w:val="TableText"/></w:pPr></w:p>'))

    def facts(self, rows: Sequence[dict[str, Any]]) -> None:
        """Rows of a name and a value, as ``front.row`` gives them."""
        self.table(
            (46, 128),
            [(name(row["name"]["zh"], row["name"]["en"]), box(*_lines(row["value"]))) for row in rows],
            heads=0,
        )

    def picture(self, png: bytes, width: float) -> None:
        """A picture in the middle; ``width`` in millimetres."""
        from docx.enum.text import WD_ALIGN_PARAGRAPH
        from docx.shared import Mm

        self.document.add_picture(io.BytesIO(png), width=Mm(width))
        self.document.paragraphs[-1].alignment = WD_ALIGN_PARAGRAPH.CENTER

    def page_break(self) -> None:
        """What follows begins on a new page."""
        from docx.enum.text import WD_BREAK

        self.document.add_paragraph().add_run().add_break(WD_BREAK.PAGE)

    def contents(self) -> None:
        """A field that Word and LibreOffice fill with the headings (ISO/IEC 29500-1, 17.16.5.68)."""
        from docx.oxml import parse_xml

        note = "目录：在 Word 中右击此处并选“更新域” contents: update this field"
        self.document.element.body.sectPr.addprevious(
            parse_xml(
                f'<w:p {_W}><w:fldSimple w:instr=" TOC \\o &quot;1-2&quot; \\h \\z \\u ">{_run(note, colour=SOFT)}'
                "</w:fldSimple></w:p>"
            )
        )


def _lines(value: Any) -> list[str]:
    if isinstance(value, list):
        return [both(each) for each in value]
    return [both(value)] if isinstance(value, dict) else [str(value)]


def begun(header: str, footer: str) -> Paper:
    """An empty A4 document with its styles, a header, and a footer that counts the pages."""
    import docx
    from docx.enum.style import WD_STYLE_TYPE
    from docx.oxml import parse_xml
    from docx.oxml.ns import qn
    from docx.shared import Mm, Pt, RGBColor

    document = docx.Document()
    section = document.sections[0]
    section.page_width, section.page_height = Mm(210), Mm(297)
    section.left_margin = section.right_margin = section.bottom_margin = Mm(18)
    section.top_margin = Mm(20)
    small = document.styles.add_style("TableText", WD_STYLE_TYPE.PARAGRAPH)
    small.base_style = document.styles["Normal"]
    for style, size in (
        ("Normal", 10.0),
        ("TableText", 8.5),
        ("Heading 1", 15.0),
        ("Heading 2", 12.0),
        ("Heading 3", 10.5),
    ):
        look = document.styles[style]
        look.font.size = Pt(size)
        look.font.name = "Times New Roman" if style in ("Normal", "TableText") else "Arial"
        fonts = look.element.get_or_add_rPr().get_or_add_rFonts()
        for attribute in ("w:asciiTheme", "w:hAnsiTheme", "w:eastAsiaTheme", "w:cstheme"):
            fonts.attrib.pop(qn(attribute), None)
        fonts.set(qn("w:eastAsia"), "宋体" if style in ("Normal", "TableText") else "黑体")
        look.paragraph_format.space_after = Pt(0 if style == "TableText" else 4)
        if style.startswith("Heading"):
            look.font.color.rgb = RGBColor.from_string(NAVY)
            look.paragraph_format.keep_with_next = True
    section.header.paragraphs[0].text = visible(header)
    foot = section.footer.paragraphs[0]
    foot.text = f"{visible(footer)}　第 "
    for instruction, after in (("PAGE", " 页 共 "), ("NUMPAGES", " 页")):
        foot._p.append(parse_xml(f'<w:fldSimple {_W} w:instr="{instruction}">{_run("1")}</w:fldSimple>'))
        foot.add_run(after)
    return Paper(document=document)


def packed(document: Document, title: str, author: str, moment: datetime.datetime) -> bytes:
    """The bytes of a document: the same content at the same moment always gives the same."""
    core = document.core_properties
    core.title, core.author, core.last_modified_by, core.comments = visible(title)[:200], visible(author)[:200], "", ""
    core.created = core.modified = moment
    core.revision = 1
    written = io.BytesIO()
    document.save(written)
    same = io.BytesIO()
    with zipfile.ZipFile(written) as parts, zipfile.ZipFile(same, "w", zipfile.ZIP_DEFLATED) as out:
        for entry in parts.namelist():
            out.writestr(zipfile.ZipInfo(entry, (1980, 1, 1, 0, 0, 0)), parts.read(entry), zipfile.ZIP_DEFLATED)
    return same.getvalue()
