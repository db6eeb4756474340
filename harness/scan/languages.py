"""Which language a text is in, by its name, else by its first line; and what a comment of it looks like."""

from __future__ import annotations

import fnmatch
import functools
import posixpath
import re
from collections.abc import Iterator

#: Language -> names of its files.
LANGUAGES = {
    "c": "*.c *.cc *.cpp *.cxx *.h *.hh *.hpp *.hxx *.inc *.inl *.S *.s *.asm *.m *.cu",
    "assembly": "*.S *.s *.sx *.asm *.nasm",
    "shell": "*.sh *.bash *.ksh *.csh *.run *.spec *.install preinst postinst prerm postrm rc.local configure *.init "
    "*.service *.socket *.timer",
    "docker": "Dockerfile Dockerfile.* *.dockerfile *.Dockerfile Containerfile Containerfile.* docker-compose*.yml "
    "docker-compose*.yaml compose*.yml compose*.yaml",
    "make": "Makefile makefile GNUmakefile Makefile.* *.mk *.make CMakeLists.txt *.cmake CMakePresets.json "
    "CMakeUserPresets.json configure configure.ac configure.in *.pro *.pri meson.build meson.options BUILD "
    "BUILD.bazel WORKSPACE WORKSPACE.bazel MODULE.bazel .bazelrc *.bzl *.gn *.gyp *.gypi *.gradle *.gradle.kts pom.xml "
    "SConstruct SConscript wscript setup.py xmake.lua *.csproj",
    "python": "*.py *.pyw",
    "java": "*.java *.kt *.scala *.groovy *.properties",
    "javascript": "*.js *.mjs *.cjs *.ts *.jsx *.tsx",
    "go": "*.go",
    "rust": "*.rs",
    "cargo": "Cargo.toml .cargo/config.toml .cargo/config",
    "perl": "*.pl *.pm",
    "sql": "*.sql *.ddl *.dml",
    "xml": "*.xml",
    "php": "*.php",
    "csharp": "*.cs",
    "yaml": "*.yml *.yaml",
    "packaging": "requirements*.txt requirements/*.txt constraints*.txt pyproject.toml setup.cfg pip.conf pip.ini "
    "Pipfile .npmrc .yarnrc electron-builder.json5 electron-builder.toml conanfile.txt "
    "profiles/* debian/control debian/rules",
    "jvm": "jvm.options *.vmoptions *.jvmopts jvm.config .jvmopts .sbtopts java.opts JAVA_OPTS jvm.options.d/*",
    "installer": "*.nsi *.nsh *.iss *.install4j *.iap_xml *.lsm",
}
#: Files that are one thing only, whatever else their names look like.
_ALONE = {
    "autotools": "config.guess config.sub",
    "npm": "package.json electron-builder.json",
    "lock": "package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml poetry.lock uv.lock pdm.lock Pipfile.lock "
    "Cargo.lock go.sum conan.lock gradle.lockfile MODULE.bazel.lock",
    "": "ltmain.sh libtool.m4 ltoptions.m4 ltversion.m4 lt~obsolete.m4 shtool",
}
_SHEBANGS = {
    "sh": "shell",
    "bash": "shell",
    "dash": "shell",
    "ksh": "shell",
    "python": "python",
    "python3": "python",
    "perl": "perl",
    "node": "javascript",
}
_HASH, _SLASHES = re.compile(r"^\s*#"), re.compile(r"^\s*(?://|\*|/\*)")
#: Language -> a line that is a comment.
COMMENT = {
    **dict.fromkeys(
        ("shell", "docker", "make", "python", "perl", "yaml", "packaging", "jvm", "cargo", "autotools", "lock"), _HASH
    ),
    **dict.fromkeys(("c", "javascript", "go", "rust", "csharp"), _SLASHES),
    "make": re.compile(r"^\s*(?:#|dnl\b|<!--)"),
    "java": re.compile(r"^\s*(?://|\*|/\*|#)"),
    "installer": re.compile(r"^\s*[;#]"),
    "assembly": re.compile(r"^\s*(?://|/?\*|;|#(?!\s*(?:if|el|en|def|inc)))"),
}
#: What begins a block comment, and its end. It begins a line: elsewhere its mark may be a part of a name of files
#: (``src/*``).
_COMMENT = (re.compile(r"^[ \t]*/\*", re.MULTILINE), "*/")
#: Languages whose comments these are.
_BRACED = frozenset(("c", "javascript", "go", "rust", "csharp", "java", "php"))
_XML_COMMENT = (re.compile(r"<!--"), "-->")
#: Elements of an XML file that are for people to read.
_MESSAGE = re.compile(r"<(?P<tag>\w{0,40}[mM]essage|description|name|id)>[^<]*</(?P=tag)>")
#: What stands before a docstring: nothing but remarks, or the head of a class or a function.
_DOCSTRING = re.compile(
    r"(?:\A(?:[ \t]*(?:#[^\n]*)?\n)*|(?:\bclass[ \t][^\n]{0,200}|\)[^\n:{}\"']{0,200}):[ \t]*(?:#[^\n]*)?\n\s*)[rRuU]?"
    r"(?P<quote>\"\"\"|''')"
)
#: A text that a shell prints, and the list of changes of a package.
_PRINTED = re.compile(r"^[ \t]*cat[ \t]*<<-?[ \t]*[\"']?(?P<mark>\w+)[\"']?[ \t]*$", re.MULTILINE)
_CHANGES = re.compile(r"^%changelog\b", re.MULTILINE)
PRINTED = 4_000  #: characters of a text that a shell prints
LONG_LINE = 2000  #: no person wrote a longer one


@functools.lru_cache(maxsize=65536)
def _named(name: str, folder: str) -> tuple[str, ...] | None:
    """Languages of a file by its name and its folder; None where they tell nothing."""

    def fits(globs: str) -> bool:
        return any(fnmatch.fnmatchcase(f"{folder}/{name}" if "/" in glob else name, glob) for glob in globs.split())

    for language, globs in _ALONE.items():
        if fits(globs):
            return (language,) if language else ()
    return tuple(language for language, globs in LANGUAGES.items() if fits(globs)) or None


def languages_of(place: str, text: str) -> tuple[str, ...]:
    """Languages of a file, by its name, else by its first line."""
    name = posixpath.basename(place)
    languages = _named(name, posixpath.basename(posixpath.dirname(place)))
    if languages is None and text.startswith("#!"):
        words = text[2:LONG_LINE].partition("\n")[0].replace("/env ", "/").split()
        program = posixpath.basename(words[0]) if words else ""
        languages = tuple(filter(None, (_SHEBANGS.get(program),)))
    return languages or ()


def remarks(place: str, text: str, languages: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where block comments and docstrings of a text begin and end, and what of it is for people to read."""
    if place.endswith((".xml", ".pom")):
        return sorted([*_between(text, *_XML_COMMENT), *(match.span() for match in _MESSAGE.finditer(text))])
    if "shell" in languages:
        return _printed(text)
    if "python" in languages:
        return list(_docstrings(text))
    return list(_between(text, *_COMMENT)) if _BRACED & set(languages) else []


def _between(text: str, begins: re.Pattern[str], mark: str) -> Iterator[tuple[int, int]]:
    """What lies between marks. Each end is looked for once: one that is missing is missing for all."""
    past = 0
    for match in begins.finditer(text):
        if match.start() < past:
            continue
        end = text.find(mark, match.end())
        if end < 0:
            return
        past = end + len(mark)
        yield match.start(), past


def _docstrings(text: str) -> Iterator[tuple[int, int]]:
    past = 0
    missing: set[str] = set()
    for match in _DOCSTRING.finditer(text):
        if match.start() < past or match["quote"] in missing:
            continue
        end = text.find(match["quote"], match.end())
        if end < 0:
            missing.add(match["quote"])
            continue
        past = end + 3
        yield match.start("quote"), past


def _printed(text: str) -> list[tuple[int, int]]:
    spans = []
    past = 0
    for match in _PRINTED.finditer(text):
        if match.start() >= past:
            window = text[match.end() : match.end() + PRINTED]
            end = re.search(rf"^[ \t]*{match['mark']}$", window, re.MULTILINE)
            if end is not None:
                past = match.end() + end.end()
                spans.append((match.start(), past))
    changes = _CHANGES.search(text, past)
    return [*spans, (changes.start(), len(text))] if changes is not None else spans
