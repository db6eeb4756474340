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
            r"(?:^|/)(?:[\w.]*[-_])?(?:tests?|t|testing|testsuites?|testdata|test-\w+|testsuite-\w+|fixtures|fuzz\w*|"
            r"(?:micro-?)?bench\w*|examples?|samples?|demos?|contrib|docs?|documentation|\.?ci)/|(?:^|/)ci[-_][\w.-]*$|"
            r"(?:^|[/_-])test(?:s|me|all)?\.(?:py|sh|pl)$",
            re.IGNORECASE,
        ),
    ),
    (
        "of continuous integration",
        re.compile(
            r"(?:^|/)\.(?:github|circleci|gitlab|buildkite|semaphore|woodpecker|azure-pipelines|builds|teamcity|evergreen)/"
            r"|(?:^|/)\.?(?:gitlab(?:-\w+)*-ci|drone|travis|appveyor|cirrus|woodpecker|shippable|codeship|azure-pipelines|"
            r"bitbucket-pipelines|wercker|codemagic|bitrise|evergreen)[\w.-]*\.(?:ya?ml|star)$|(?:^|/)(?:Jenkinsfile|travis)[\w.-]*$",
            re.IGNORECASE,
        ),
    ),
    ("of copies that quilt keeps of what it patches", re.compile(r"(?:^|/)\.pc/")),
    # The Go tool leaves folders out whose names begin so: they hold generators and the like.
    ("of no Go package", re.compile(r"(?:^|/)[_][^/]*/(?:[^/]*/)*(?:[^/]*\.go|go\.(?:mod|sum))$")),
    (
        "for another system",
        re.compile(
            r"(?:^|[/_.-])(?:win(?:32|64|ce|dows|nt|build)?|msvc\w*|msys\d?|mingw\w*|msc|vc\d*|vcbuild|vms|os2|os400|djgpp|watcom|"
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
    r"mips\w*|msa|mmi|riscv\w*|rvv|powerpc\w*|ppc\w*|altivec|vsx|power\d+|s390\w*|sparc\w*|alpha|hppa|m68k|wasm\w*|"
    r"nehalem|westmere|sandybridge|haswell|broadwell|skylake\w*|icelake\w*|znver\d|fma\d?|bmi\d?)"
    r"(?=[/_.-])"
    # One word of several that are written together: sljitNativeARM_32.c.
    r"|(?-i:(?<=[a-z])(?:X86|X64|AMD64|SSE\d*|AVX\w*|ARM|AArch64|NEON|PPC|POWERPC|MIPS|S390X?|RISCV|SPARC|LOONGARCH))"
    r"(?=[A-Z\d_.-][^/]*$|\.[^/]*$)",
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


#: A module of tests, or a test, within a source of Rust, up to the brace that ends it.
_RUST_TESTS = re.compile(
    r"^(?P<indent>[ \t]*)#\[(?:cfg\((?:all\()?test\b|(?:\w+::)?test\b|bench\b)[^\n]*\]\s*\n(?:[ \t]*#!?\[[^\n]*\n){0,9}"
    r"[ \t]*(?:pub )?(?:mod \w+|(?:async )?fn \w+\([^\n]*) \{$",
    re.MULTILINE,
)


def tests_within(text: str, languages: Collection[str]) -> list[tuple[int, int]]:
    """First and last line of each part of a source that is tests."""
    ranges = []
    for match in _RUST_TESTS.finditer(text) if "rust" in languages else ():
        end = text.find(f"\n{match['indent']}}}", match.end())
        first = text.count("\n", 0, match.start()) + 1
        ranges.append((first, first + text.count("\n", match.start(), end if end >= 0 else len(text)) + 1))
    return ranges
