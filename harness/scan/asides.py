"""Places of texts that matter less: what nobody builds or runs on a target, and what says itself what it is for.

A finding there is a note and says why. Nothing is left out, because a folder may be called anything.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_ASIDE = (
    (
        "of tests, examples or documents",
        re.compile(
            r"(?:^|/)(?:[\w.]*[-_])?(?:tests?|t|testing|testsuites?|testdata|test-\w+|fixtures|fuzz\w*|bench\w*|examples?|"
            r"samples?|demos?|contrib|docs?|documentation|ci)/|(?:^|/)ci[-_][\w.-]*$|(?:^|[/_-])tests?\.(?:py|sh|pl)$",
            re.IGNORECASE,
        ),
    ),
    (
        "for another system",
        re.compile(
            r"(?:^|[/_.-])(?:win(?:32|64|ce|dows|nt)?|msvc\w*|msys\d?|mingw\w*|msc|vc\d*|vcbuild|vms|os2|os400|djgpp|watcom|"
            r"netware|mac-?os\w*|osx|darwin|xcode|ios|iphone\w*|tvos|watchos|android\w*|freebsd|netbsd|openbsd|solaris|sunos|"
            r"aix|hpux|cygwin|amiga\w*|symbian|haiku|qnx|vxworks|zos)(?=[/_.-]|\d*$)",
            re.IGNORECASE,
        ),
    ),
)
#: Words of folders and files of sources that are built for one architecture, or one extension of it.
_OWN = re.compile(
    r"(?:^|[/_.-])(?:x86\w*|i[3-6]86|amd64|x64|ia32|ia64|intel|sse\w*|ssse3|avx\w*|mmx\w*|aes-?ni|pclmul\w*|sha-?ni|"
    r"sandy2x|crc32c?-?sse\w*|neon\w*|arm(?:v?\d\w*|el|hf|eabi)?|aarch(?:32|64)|sve|loongarch\w*|loongson\w*|lsx|lasx|"
    r"mips\w*|msa|mmi|riscv\w*|rvv|powerpc\w*|ppc\w*|altivec|vsx|power\d+|s390\w*|sparc\w*|alpha|hppa|m68k|wasm\w*)"
    r"(?=[/_.-])",
    re.IGNORECASE,
)
#: Languages of texts that are built for an architecture, and chosen by their names.
_BUILT = frozenset(("c", "assembly", "go", "rust"))


def aside(place: str, roots: Collection[str], *, sources: bool) -> str:
    """Why a place matters less; empty where it does not. ``roots``: what the places of inputs begin with.

    ``sources``: the rule is about texts that are chosen by their names when something is built.
    """
    start = max((len(root) for root in roots if place.startswith(root)), default=0)
    inside = place[start:]
    for why, pattern in _ASIDE:
        if pattern.search(inside):
            return f"in a place {why}" if why.startswith("of") else why
    return "its name says what it is built for" if sources and _OWN.search(inside) else ""


def about_sources(languages: Collection[str]) -> bool:
    """Whether a rule for these languages is about texts that are chosen by their names."""
    return set(languages) <= _BUILT
