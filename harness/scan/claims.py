"""What packages, images, folders and names say that files are for, and files that are for something else.

A machine takes a file by what is said of it: the package's architecture, the platform of an image, the folder that a
loader forms from ``os.arch``. Of several sayings the innermost one counts; what stands further out excuses a file that
is for what it says, because then nothing of another architecture ever asks for it.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from harness.model.definitions import Rule
from harness.model.finding import Finding, Targets
from harness.scan.facts import ElfFact
from harness.scan.groups import Binaries, cpus, finding
from harness.scan.images import architectures_of_layers, contradictions
from harness.scan.variants import WORDS, architectures_named

#: Programs of a narrower architecture that the kernel of a wider one runs.
ALSO_RUN_BY = {"i386": ("x86_64",), "arm": ("aarch64",)}
#: Kinds of units that say for themselves what they are for: what lies around them says nothing of their content.
INDEPENDENT = ("jar", "wheel", "npm")
#: Names of tools that work on files of another architecture than they run on: a word there names what they work on.
_ABROAD = re.compile(
    r"(?<![a-z])(?:qemu|cross|gcc|g\+\+|cc1|clang|gdb|binutils|toolchains?|sysroot|grub|syslinux|emulator|binfmt|"
    r"box64|fex|objdump|firmware|lib(?:bfd|ctf|ctf-nobfd|opcodes))(?![a-z])"
)
#: A target of a compiler, such as ``aarch64-linux-gnu-``: in the name of a program it says for what it compiles.
_TRIPLE = re.compile(r"[a-z0-9_]+-(?:[a-z0-9_]+-)?(?:linux|none|elf|unknown)(?:-|$)")
_PARTS = re.compile(r"(?:!/|/)")
#: Programs of a compiler. A folder that holds one, such as that of GCC for another target, is named for what it
#: compiles for; what lies there for the machine that they run on is theirs.
_TOOLS = frozenset(("cc1", "cc1plus", "collect2", "lto1", "lto-wrapper", "as", "ld"))


@dataclass(frozen=True)
class Claim:
    """Architectures that files below ``scope`` are said to be for; ``speaker``: the package, the image, its name…"""

    scope: str
    speaker: str
    architectures: frozenset[str]

    @property
    def by_name(self) -> bool:
        """Whether a mere name says it."""
        return self.speaker.startswith("its ")


def label(rule: Rule, binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Files of another architecture than is said of them, where that is loaded; names that packages contradict.

    A file that is there for the right architecture too is one of several variants of a package, and a file whose path
    names its own architecture is chosen by that path: the first is no finding, the second a warning.
    """
    said = _said(binaries)
    every = [fact for fact in binaries.facts if fact.runs or fact.kernel_module]
    workshops = {
        (posixpath.dirname(fact.place), fact.machine) for fact in every if posixpath.basename(fact.place) in _TOOLS
    }
    claims = {id(fact): list(_claims_on(fact, said, binaries.packages.roots, workshops)) for fact in every}
    variants: dict[tuple[str, str], set[str]] = defaultdict(set)
    for fact in every:
        for claim in claims[id(fact)]:
            variants[claim.scope, fact.key] |= _runs_on(fact)
    reported: set[tuple[str, str]] = set()
    for fact in every:
        broken, chosen = _broken(fact, claims[id(fact)], variants)
        if broken is None or (broken.scope, fact.key) in reported:
            continue
        concerned = [cpu for cpu in targets.cpus.values() if cpu.architecture in broken.architectures]
        if concerned:
            reported.add((broken.scope, fact.key))
            message = f"{broken.speaker} says {', '.join(sorted(broken.architectures))}, the file is for {fact.machine}"
            message += "; its path says so too" if chosen else ""
            yield finding(rule, fact.place, cpus(concerned), message, severity="warning" if chosen else None)
    yield from _misnamed(rule, said, binaries, targets)


def _broken(
    fact: ElfFact, claims: list[Claim], variants: Mapping[tuple[str, str], set[str]]
) -> tuple[Claim | None, bool]:
    """The claim that a file breaks, and whether its path, or a package inside, says what it is for."""
    chosen = "/firmware/" in fact.place
    for number, claim in enumerate(claims):
        if claim.architectures & _runs_on(fact):
            chosen = True
            if not claim.by_name and not any(c.by_name for c in claims[:number]):
                return None, chosen
            continue
        if claim.by_name:
            # What is further out and true keeps others away: a package for x86-64 is never asked for ARM.
            if chosen or any(outer.architectures & _runs_on(fact) for outer in claims[number + 1 :]):
                continue
            return claim, False
        if claim.architectures & variants[claim.scope, fact.key]:
            return None, chosen
        return claim, chosen
    return None, chosen


def _runs_on(fact: ElfFact) -> set[str]:
    return {fact.machine, *ALSO_RUN_BY.get(fact.machine, ())}


def _said(binaries: Binaries) -> dict[str, Claim]:
    """What packages and images say, by the place that everything in them begins with."""
    packages = binaries.packages
    said = {scope: Claim(scope, speaker, frozenset(names)) for scope, speaker, names in packages.claims}
    layers = architectures_of_layers(packages.manifests, packages.configurations)
    images = {f"{place}!/": names for place, names in packages.images.items() if place}
    said |= {scope: Claim(scope, "the image", frozenset(names)) for scope, names in (images | layers).items()}
    for component in packages.components:
        if component.architecture:
            scope = f"{component.file}!/"
            before = said[scope].architectures if scope in said else frozenset()
            said[scope] = Claim(scope, "the package", before | {component.architecture})
    return said


def _claims_on(
    fact: ElfFact, said: Mapping[str, Claim], roots: Collection[str], workshops: Collection[tuple[str, str]]
) -> Iterator[Claim]:
    """The claims on a file, the innermost first. What lies above an input says nothing: it is not shipped."""
    start = max((len(root) for root in roots if fact.place.startswith(root)), default=0)
    cuts = [start, *(match.end() for match in _PARTS.finditer(fact.place, start))]
    inside = fact.place[start:].lower()
    abroad = _ABROAD.search(inside[inside.rfind("!/") + 1 :]) is not None or any(
        (fact.place[: match.start()], fact.machine) in workshops for match in _PARTS.finditer(fact.place)
    )
    container = fact.place.rfind("!/")
    for begin, end in reversed(list(zip(cuts, [*cuts[1:], len(fact.place)], strict=True))):
        name = fact.place[begin:end].removesuffix("/").removesuffix("!").lower()
        names = architectures_named(name)
        own = begin > container
        foreign = own and (abroad or (fact.program and _is_triple(name)))
        if len(names) == 1 and not foreign:
            speaker = "its name" if end == len(fact.place) else f"its place {name}"
            yield Claim(fact.place[:end], speaker, frozenset(names))
        if begin <= container and fact.unit_kind in INDEPENDENT:
            return  # the name of the unit itself was the last that counts
        if (claim := said.get(fact.place[:begin])) is not None:
            yield claim


def _is_triple(name: str) -> bool:
    return name.partition("-")[0] in WORDS and _TRIPLE.match(name) is not None


def _misnamed(rule: Rule, said: Mapping[str, Claim], binaries: Binaries, targets: Targets) -> Iterator[Finding]:
    """Packages and images that are called for another architecture than they say."""
    for scope, claim in sorted(said.items()):
        place = scope.removesuffix("!/")
        names = architectures_named(posixpath.basename(place))
        if scope.endswith("!/") and len(names) == 1 and not names & claim.architectures:
            concerned = [cpu for cpu in targets.cpus.values() if cpu.architecture in names]
            if concerned:
                message = (
                    f"its name says {', '.join(names)}, {claim.speaker} says {', '.join(sorted(claim.architectures))}"
                )
                yield finding(rule, place, cpus(concerned), message)
    packages = binaries.packages
    for place, index, configuration in contradictions(packages.manifests, packages.configurations, packages.platforms):
        concerned = [cpu for cpu in targets.cpus.values() if cpu.architecture == index]
        if concerned:
            message = f"the index says {index}, the configuration of the image says {configuration}"
            yield finding(rule, place, cpus(concerned), message)
