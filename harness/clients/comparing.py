"""Whether what a program wrote is like what is expected, and how far from it."""

from __future__ import annotations

import decimal
import io
import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from PIL import Image, ImageChops

from harness.errors import SuiteError
from harness.model.definitions import Output
from harness.numerics.units import ulps_between

#: Differences that are written out.
SHOWN = 20
#: Pixels of a picture that is compared.
MOST_PIXELS = 100_000_000
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d{1,6})?")
#: What stands between words; kept, so that a comma is not a blank.
_BETWEEN = re.compile(r"[\s,;:=()\[\]{}|\"'<>]+")


@dataclass
class Comparison:
    """Differences in words (empty where there are none), and the largest of those that were measured.

    ``largest``: name -> value, of all numbers or pixels, also where they are within the tolerances.
    """

    differences: list[str] = field(default_factory=list)
    largest: dict[str, float] = field(default_factory=dict)

    def differ(self, words: str) -> None:
        """Note a difference."""
        self.differences.append(words)

    def measure(self, name: str, value: float) -> None:
        """Note how far something is off."""
        self.largest[name] = max(self.largest.get(name, 0.0), value)

    @property
    def text(self) -> str:
        """The first differences, a line each."""
        more = len(self.differences) - SHOWN
        return "\n".join(self.differences[:SHOWN] + ([f"… and {more} more"] if more > 0 else []))


def compare(output: Output, actual: bytes, expected: bytes) -> Comparison:
    """Compare a file with the expected file, as ``output`` says.

    Raises:
        SuiteError: the expected file cannot be compared with anything.
    """
    comparison = Comparison()
    if output.compare == "exact":
        _exact(comparison, actual, expected)
    elif output.compare == "image":
        _image(comparison, output, actual, expected)
    else:
        _lines(comparison, output, actual, expected)
    return comparison


def _exact(comparison: Comparison, actual: bytes, expected: bytes) -> None:
    if actual == expected:
        return
    at = next((n for n, (a, b) in enumerate(zip(actual, expected, strict=False)) if a != b), None)
    at = min(len(actual), len(expected)) if at is None else at
    comparison.differ(
        f"{len(actual)} bytes, expected {len(expected)}; the first difference is byte {at}: "
        f"{actual[at : at + 16]!r} instead of {expected[at : at + 16]!r}"
    )


def _lines(comparison: Comparison, output: Output, actual: bytes, expected: bytes) -> None:
    pairs = itertools.zip_longest(_counted(output, actual), _counted(output, expected))
    for (number, line), (_, wanted) in ((a or (0, None), b or (0, None)) for a, b in pairs):
        if wanted is None:
            comparison.differ(f"line {number} is not expected: {_shown(line or '')}")
        elif line is None:
            comparison.differ(f"a line is missing at the end: {_shown(wanted)}")
        elif output.compare == "text":
            if line != wanted:
                comparison.differ(f"line {number}: {_shown(line)} instead of {_shown(wanted)}")
        else:
            _numbers(comparison, output, number, line, wanted)


def _counted(output: Output, data: bytes) -> Iterator[tuple[int, str]]:
    """Lines that count, by their number, without blanks at the end; any encoding in which a byte below 128 is ASCII."""
    ignored = [re.compile(pattern) for pattern in output.ignore]
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").replace("\r\n", "\n").split("\n"), 1):
        text = line.rstrip()
        if text and not any(pattern.search(text) for pattern in ignored):
            yield number, text


def _shown(line: str) -> str:
    text = line.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return repr(text if len(text) <= 160 else f"{text[:160]}…")


def _numbers(comparison: Comparison, output: Output, number: int, line: str, wanted: str) -> None:
    words, expected = _BETWEEN.split(line.strip()), _BETWEEN.split(wanted.strip())
    if len(words) != len(expected):
        comparison.differ(f"line {number}: {len(words)} words instead of {len(expected)}: {_shown(line)}")
        return
    for word, want in zip(words, expected, strict=True):
        if word == want:
            continue
        if not (_NUMBER.fullmatch(word) and _NUMBER.fullmatch(want)):
            comparison.differ(f"line {number}: {_shown(word)} instead of {_shown(want)}")
        elif far := _too_far(comparison, output, word, want):
            comparison.differ(f"line {number}: {word} instead of {want}: {far}")


def _too_far(comparison: Comparison, output: Output, word: str, want: str) -> str:
    """How far a number is off, in words; empty where that is within a tolerance."""
    with decimal.localcontext() as context:
        context.prec, context.Emax, context.Emin = 60, decimal.MAX_EMAX, decimal.MIN_EMIN
        value, expected = (Decimal(re.sub("[dD]", "e", text)) for text in (word, want))
        absolute = abs(value - expected)
        relative = absolute / abs(expected) if expected else None
        near = absolute <= Decimal(output.absolute) or absolute <= Decimal(output.relative) * abs(expected)
        comparison.measure("largest absolute difference", float(min(absolute, Decimal("1e308"))))
        if relative is not None:
            comparison.measure("largest relative difference", float(min(relative, Decimal("1e308"))))
    apart = ulps_between(float(value), float(expected)) if output.ulps else math.inf
    if near or apart <= output.ulps:
        return ""
    parts = [f"{absolute:.3g} off"]
    parts += [f"{relative:.3g} of it"] if relative is not None else []
    parts += [f"{apart:.0f} units in the last place"] if output.ulps else []
    return ", ".join(parts)


def _image(comparison: Comparison, output: Output, actual: bytes, expected: bytes) -> None:
    try:
        wanted = _pixels(expected)
    except ValueError as error:
        raise SuiteError(f"{output.expected}: {error}", advice="give a picture as what is expected") from error
    try:
        picture = _pixels(actual)
    except ValueError as error:
        comparison.differ(str(error))
        return
    if picture.size != wanted.size:
        sizes = [f"{width} x {height}" for width, height in (picture.size, wanted.size)]
        comparison.differ(f"{sizes[0]} pixels instead of {sizes[1]}")
        return
    bands = ImageChops.difference(picture, wanted).split()
    most = bands[0]
    for band in bands[1:]:
        most = ImageChops.lighter(most, band)
    histogram = most.histogram()
    off = sum(histogram[output.levels + 1 :])
    share = off / max(1, sum(histogram))
    comparison.measure("share of pixels that differ", share)
    if share > output.pixels:
        comparison.differ(
            f"{off} of {sum(histogram)} pixels are off by more than {output.levels} levels of 255: "
            f"{share:.4%}, accepted {output.pixels:.4%}"
        )


def _pixels(data: bytes) -> Image.Image:
    """Raises ValueError where it is no picture of a bearable size."""
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "BMP", "GIF", "TIFF", "JPEG")) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise ValueError(f"the picture has {picture.width} x {picture.height} pixels; at most {MOST_PIXELS}")
            return picture.convert("RGBA")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"no picture that can be read: {error}") from error
