"""What a program wrote beside what is expected: equal, within a tolerance, or different in words."""

from __future__ import annotations

import io
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness.clients.comparing import MOST_PIXELS, compare
from harness.errors import SuiteError
from harness.model.definitions import Output


def output(kind: str, **more: Any) -> Output:
    return Output.model_validate({"file": "f", "expected": "e", "compare": kind, **more})


def differs(kind: str, actual: bytes | str, expected: bytes | str, **more: Any) -> str:
    sides = [side.encode() if isinstance(side, str) else side for side in (actual, expected)]
    return compare(output(kind, **more), *sides).text


def picture(size: tuple[int, int] = (10, 10), dots: dict[tuple[int, int], Any] | None = None) -> bytes:
    image = Image.new("RGB", size, "white")
    for place, color in (dots or {}).items():
        image.putpixel(place, color)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


ALIKE: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("exact", b"\0\xff", b"\0\xff", {}),
    ("text", "结果 \r\n\n", "结果", {}),
    ("text", b"\xb2\xe2\xca\xd4\n", b"\xb2\xe2\xca\xd4", {}),  # GBK
    ("text", "made 2026-01-01\nx", "made 2025-12-31\nx", {"ignore": ["^made "]}),
    ("numbers", "x = 1.0000001, y: 2", "x  =  1.0, y: 2", {"relative": 1e-6}),
    ("numbers", "1.0D+03 -0.0", "1000 0", {"absolute": 1e-300}),
    ("numbers", "nan -inf", "nan -inf", {}),
    ("numbers", "18446744073709551616", "18446744073709551616.0", {"absolute": 1e-300}),
    ("numbers", repr(math.nextafter(0.1, 1)), "0.1", {"ulps": 1}),
    ("numbers", repr(math.nextafter(0.0, -1)), repr(math.nextafter(0.0, 1)), {"ulps": 2}),
    ("image", picture(), picture(), {}),
    ("image", picture(dots={(1, 1): (250, 255, 255)}), picture(), {"levels": 5}),
    ("image", picture(dots={(1, 1): (0, 0, 0)}), picture(), {"pixels": 0.01}),
]
DIFFERENT: list[tuple[str, Any, Any, dict[str, Any], str]] = [
    ("exact", b"abc", b"abd", {}, "byte 2: b'c' instead of b'd'"),
    ("exact", b"ab", b"abc", {}, "2 bytes, expected 3"),
    ("text", "a\nb", "a", {}, "line 2 is not expected: 'b'"),
    ("text", "a", "a\nb", {}, "a line is missing at the end: 'b'"),
    ("text", "", "a", {}, "missing"),
    ("numbers", "1.001", "1", {"relative": 1e-6}, "line 1: 1.001 instead of 1: 0.001"),
    ("numbers", "volt 1", "ampere 1", {"relative": 0.5}, "'volt' instead of 'ampere'"),
    ("numbers", "1 2", "1", {}, "2 words instead of 1"),
    ("numbers", "nan", "1", {"relative": 0.5, "absolute": 1e9}, "'nan' instead of '1'"),
    ("numbers", "1e300", "1", {"ulps": 8}, "units in the last place"),
    ("numbers", "18446744073709551617", "18446744073709551616", {}, "instead of"),
    ("numbers", "-1", "1", {"relative": 0.5}, "-1 instead of 1"),
    ("image", picture((10, 11)), picture(), {}, "10 x 11 pixels instead of 10 x 10"),
    ("image", picture(dots={(1, 1): (0, 0, 0)}), picture(), {}, "1 of 100 pixels"),
    ("image", b"no picture", picture(), {}, "no picture that can be read"),
    ("image", picture()[:45], picture(), {}, "no picture that can be read"),
    ("image", b"", picture(), {"pixels": 0.99}, "no picture that can be read"),
]


@pytest.mark.parametrize(("kind", "actual", "expected", "more"), ALIKE, ids=range(len(ALIKE)))
def test_alike(kind: str, actual: Any, expected: Any, more: dict[str, Any]) -> None:
    assert differs(kind, actual, expected, **more) == ""


@pytest.mark.parametrize(("kind", "actual", "expected", "more", "words"), DIFFERENT, ids=range(len(DIFFERENT)))
def test_different(kind: str, actual: Any, expected: Any, more: dict[str, Any], words: str) -> None:
    assert words in differs(kind, actual, expected, **more)


def test_a_picture_that_would_fill_the_memory_is_not_opened() -> None:
    side = math.isqrt(MOST_PIXELS) + 1
    huge = picture()
    header = huge.index(b"IHDR") + 4
    huge = huge[:header] + struct.pack(">II", side, side) + huge[header + 8 :]
    assert "no picture" in (words := differs("image", huge, picture())) or f"{side} x {side}" in words


def test_an_expected_picture_that_is_none_is_not_the_products_fault() -> None:
    with pytest.raises(SuiteError, match="no picture that can be read"):
        compare(output("image"), picture(), b"text")


@given(st.floats(allow_nan=False), st.floats(allow_nan=False), st.floats(0, 1, exclude_max=True))
def test_within_a_relative_tolerance(value: float, expected: float, relative: float) -> None:
    """As ``math.isclose`` where that says it clearly: relative to the expected number alone."""
    found = differs("numbers", repr(value), repr(expected), relative=relative)
    if value == expected:
        assert not found
    elif math.isinf(value) or math.isinf(expected):
        assert found
    elif abs(value - expected) < abs(expected) * relative * 0.999:
        assert not found
    elif abs(value - expected) > abs(expected) * relative * 1.001:
        assert found


@given(st.binary(max_size=200), st.binary(max_size=200), st.sampled_from(["exact", "text", "numbers"]))
def test_any_bytes_are_like_themselves_and_never_end_it(data: bytes, other: bytes, kind: str) -> None:
    assert differs(kind, data, data) == ""
    assert isinstance(differs(kind, data, other), str)
