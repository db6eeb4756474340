"""Which language a text is in, by its name, else by its first line; and what a comment of it looks like."""

from __future__ import annotations

import fnmatch
import functools
import posixpath
import re

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
    "": "ltmain.sh libtool.m4 ltoptions.m4 ltversion.m4 lt~obsolete.m4",
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
