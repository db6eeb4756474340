"""Kinds of false alarms of well-ported sources are notes or silent, and what is much like them is a warning still.

Each pair comes from what held-back Debian sources showed (docs/decisions/0012-scan.md).
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from harness.scan import scan
from harness.scan.languages import languages_of, remarks
from harness.scan.sqlplaces import asked, is_prose
from tests.unit.test_scan_rules import RULES, TARGETS
from tests.unit.test_scan_sql import rules

COPY = "#!/bin/sh\ncp -r lib/linux-x86_64 /opt/app\n"
URL = "https://files.example/t"
CASE = (
    '#!/bin/sh\ncase "$(uname -m)" in\n'
    f"  x86_64)\n    curl {URL}-amd64 ;;\n  i686)\n    curl {URL}-i386 ;;\n  aarch64)\n    curl {URL}-arm64 ;;\nesac\n"
)
RUST_TEST = 'fn a() {}\n\n#[cfg(test)]\nmod test {\n    const A: &str = "x86_64-linux-gnu";\n}\n'

#: Kind -> file, text, whether anything warns.
TEXTS = {
    "copies of quilt": ("debian.x/.pc/a.patch/install.sh", COPY, False),
    "a folder of another name": (".pcx/install.sh", COPY, True),
    "a workflow by its folder": (".drone.yml", "platform: { os: linux, arch: amd64 }\n", False),
    "a workflow by its content": (
        "scripts/lint.yml",
        "jobs:\n  lint:\n    runs-on: any\n    steps:\n    - run: apt-get install -y libsnmp-dev\n",
        False,
    ),
    "a playbook": ("scripts/lint.yml", "steps:\n- run: apt-get install -y libsnmp-dev\n", True),
    "a small benchmark": ("microbench/run.sh", COPY, False),
    "generator of Go": ("zstd/_generate/gen.go", 'package main\n\nvar a = "linux-amd64"\n', False),
    "sources of Go": ("zstd/generate/gen.go", 'package main\n\nvar a = "linux-amd64"\n', True),
    "names of a level": ("src/haswell/a.h", "#include <immintrin.h>\n", False),
    "a word among others": (
        "src/nativeARM_32.c",
        "#if defined(V7) && defined(__arm__)\n#else\n#error x\n#endif\n",
        False,
    ),
    "tests of Rust": ("src/a.rs", RUST_TEST, False),
    "behind tests of Rust": ("src/a.rs", RUST_TEST + 'const B: &str = "x86_64-linux-gnu";\n', True),
    "a test of Rust": ("src/a.rs", '#[test]\nfn a() {\n    let a = "/lib/x86_64-linux-gnu";\n}\n', False),
    "a condition of Rust": ("src/a.rs", '#[cfg(target_arch = "x86_64")]\nmod fast;\n', False),
    "what Rust refuses": (
        "src/a.rs",
        '#[cfg(not(target_arch = "x86_64"))]\ncompile_error!("no port");\n',
        True,
    ),
    "an innermost condition": (
        "a.yaml",
        f"run: |\n  if [ $A = arm64 ]; then\n    curl {URL}-arm64\n"
        f"  elif [ $A = s390x ]; then\n    curl {URL}-s390x\n  fi\n",
        False,
    ),
    "what all others get": (
        "a.sh",
        f"if [ $A = aarch64 ]; then\n  B={URL}-arm64\nelse\n  B={URL}-amd64\nfi\n",
        True,
    ),
    "a docstring": ("a.py", 'def a(b):\n    """Built\n    on x86_64 only.\n    """\n', False),
    "a string of Python": ("a.py", 'A = """\nlinux-x86_64\n"""\n', True),
    "a comment over lines": ("a.java", "/*\n  for linux-x86_64\n*/\nclass A {}\n", False),
    "a comment of a pom": ("pom.xml", "<a><!--\n  for x86_64\n--><message>on x86_64\n</message></a>\n", False),
    "a classifier of a pom": ("pom.xml", "<a><classifier>linux-x86_64</classifier></a>\n", True),
    "all but one": ("pom.xml", "<os><arch>!x86_64</arch></os>\n", False),
    "a text of a shell": ("a.sh", "cat <<EOF\n  i686-linux-gnu\n  x86_64-linux-gnu\nEOF\n", False),
    "a file of a shell": ("a.sh", "cat <<EOF >a\n  x86_64-linux-gnu\nEOF\n", True),
    "a change of a package": ("a.spec", "Name: a\n%ifarch x86_64\n%endif\n%changelog\n- for i686\n", False),
    "Windows": ("a.sh", 'a="x86_64-pc-windows-msvc"\nb="win-x86_64"\n', False),
    "a browser": ("a.java", 'class A { String a = "Mozilla/5.0 (X11; Linux i686)"; }\n', False),
    "a name for a name": (".goreleaser.yml", "replacements:\n  386: i386\n  amd64: x86_64\n", False),
    "a list": (".goreleaser.yml", "goarch:\n- amd64\n", True),
    "tables of a makefile": ("Makefile", "DEF-x86_64 = -DA\ni386_FILES = i386-gen.c\nL += a/i386/b.o\n", False),
    "folders of a makefile": (
        "Makefile",
        "for d in x \\\n\tx86_64 x86_64/aesni arm arm/neon \\\n\ts390x ; do a\n",
        False,
    ),
    "targets of a makefile": ("Makefile", "wheels: \\\n\tlinux-wheels-x86_64 \\\n\tlinux-wheels-i686\n", True),
    "a variable for x86": (
        "configure.ac",
        "m4_define([X86_SSE_CFLAGS], [-msse])\nCCOPT_x86= -msse -mfpmath=sse\n",
        False,
    ),
    "a library of its own": ("Makefile.am", "libfast_la_CFLAGS = -msse\n", False),
    "asked first": ("configure.ac", "AC_MSG_CHECKING(if it works)\nCFLAGS=-m64\nAC_RUN_IFELSE([a])\n", False),
    "asked by a macro": ("configure.ac", "DB_TRYADDCFLAGS([-mindirect-branch=thunk])\n", False),
    "not asked": ("configure.ac", "CFLAGS=-m64\n", True),
    "single files": ("Makefile", "x.o:\n\t$(CC) $(CFLAGS) -march=haswell -o $@ -c a.c\n", False),
    "all files": ("Makefile", "CFLAGS += -march=haswell\n", True),
    "conditions over lines": (
        "meson.build",
        "if (a == 'b' or\n    host_machine.cpu_family() == 'x86_64')\n  c = 1\nendif\n",
        False,
    ),
    "a case of x86": ("configure.ac", "case $host_cpu in\n*86)\n  CFLAGS=-msse ;;\nesac\n", False),
    "a name of a symbol": ("a.c", 'void a(void *) __asm__ ("net.runtime_pollUnblock");\n', False),
    "a locked instruction": ("a.c", 'void a(void) { __asm__ ("lock; incl %0"); }\n', True),
    "an alignment": (
        "a.h",
        "#if defined(__x86_64__)\n#define A_ALIGN 32\n#elif defined(__arm__)\n#define A_ALIGN 16\n"
        "#elif defined(__mips__)\n#define A_ALIGN 16\n#else\n#define A_ALIGN 1\n#endif\n",
        False,
    ),
    "an alignment that is a width": (
        "a.h",
        "#if defined(__x86_64__)\n#define A_WIDTH 32\n#elif defined(__arm__)\n#define A_WIDTH 16\n"
        "#elif defined(__mips__)\n#define A_WIDTH 16\n#else\n#define A_WIDTH 1\n#endif\n",
        True,
    ),
    "a unit of a system": ("a.sh", "case $1 in\n  debian-systemd-start) a ;;\n  debian.org) b ;;\nesac\n", False),
    "a system": ("a.sh", "case $ID in\n  debian*) a ;;\nesac\n", True),
    "a server of integration": ("a.sh", '[ "$TRAVIS_CI" != "" ] && apt-get install clang\n', False),
    "a wheel for Windows": ("pyproject.toml", '[tool.cibuildwheel.windows]\narchs = ["AMD64"]\n', False),
    "a wheel": ("pyproject.toml", '[tool.cibuildwheel.linux]\narchs = ["x86_64"]\n', True),
    "its own sources": ("PKG-INFO", "Metadata-Version: 2.1\nName: cryptography\nVersion: 43.0.0\n", False),
    "what is installed": (
        "site-packages/a.egg-info/PKG-INFO",
        "Metadata-Version: 2.1\nName: cryptography\nVersion: 43.0.0\n",
        True,
    ),
    "a lock of a test": ("contrib/a/Cargo.lock", '[[package]]\nname = "libc"\nversion = "0.2.93"\n', False),
    "a lock": ("a/Cargo.lock", '[[package]]\nname = "libc"\nversion = "0.2.93"\n', True),
    "prose": (
        "a.py",
        "A = 'update the table of tests, or delete from it as wanted'\nB = 'update now, please'\n",
        False,
    ),
    "a statement": ("a.py", "A = 'update t set a = 1 limit 2'\n", True),
    "a local database": ("a.c", 'int b = sqlite3_exec(d, "REPLACE INTO test (k) VALUES (1)", 0);\n', False),
    "some database": ("a.c", 'int b = run(d, "REPLACE INTO test (k) VALUES (1)", 0);\n', True),
    "a dialect": ("OracleDialect.java", 'class A { String a = "select sysdate from dual"; }\n', False),
    "a class": ("OracleDao.java", 'class A { String a = "select sysdate from dual"; }\n', True),
    "a database that is asked for": (
        "a.py",
        'def a(b):\n    if is_postgres(b):\n        run("ALTER TABLE t ALTER c TYPE BYTEA USING decode(c)")\n',
        False,
    ),
    "a database that is not": (
        "a.py",
        'def a(b):\n    if not is_sqlite(b):\n        run("ALTER TABLE t ALTER c TYPE BYTEA USING decode(c)")\n',
        True,
    ),
    "a chain within a branch": (
        "a.h",
        "#if defined(__riscv)\n#if __riscv_xlen == 32\n#define A 1\n#elif __riscv_xlen == 64\n#define A 2\n"
        "#else\n#error which\n#endif\n#endif\n",
        False,
    ),
    "a chain within another branch": (
        "a.h",
        "#if defined(__linux__)\n#if __riscv_xlen == 32\n#define A 1\n#elif __riscv_xlen == 64\n#define A 2\n"
        "#else\n#error which\n#endif\n#endif\n",
        True,
    ),
    "a condition of C over lines": (
        "a.h",
        '#if defined(A) \\\n  && defined(B_X86)\n__asm__ ("bswap %0" : "=r" (a));\n#endif\n',
        False,
    ),
    "names of sources": ("Makefile.am", "EXTRA_DIST = a-amd64-ssse3.S \\\n  b-x86_64.asm c-armv7-neon.S\n", False),
    "a rule for a target": ("Makefile", "obj/x86-64/a: b\n\t$(RUN) x86-64 a\nc: d\n\ttrue\n", False),
    "a recipe": ("Makefile", "all: d\n\tGOARCH=amd64 go build\n", True),
    "an option of a shell": ("a.sh", 'case "$1" in\n  --build-amd64)\n    b=1 ;;\nesac\n', False),
    "definitions for CMake": ("a.cmake", 'CHECK(x64 "defined(__amd64__) || defined(__x86_64)")\n', False),
    "triples of MinGW": ("a.sh", "for a in i686 x86_64; do\n  ./configure --host=$a-w64-mingw32\ndone\n", False),
    "triples of Linux": ("a.sh", "for a in i686 x86_64; do\n  ./configure --host=$a-linux-gnu\ndone\n", True),
    "a word to people": ("a.sh", 'info "  apt-get install a"\n', False),
    "a word to people of Python": ("a.py", "sys.stderr.write('$ sudo apt-get install a')\n", False),
    "a call": ("a.py", "os.system('sudo apt-get install a')\n", True),
    "an option of configure": (
        "configure.ac",
        'AC_ARG_ENABLE(sse, [  --enable-sse], [\nCFLAGS="$C -msse"\n])\n',
        False,
    ),
    "a guess of a system": (
        "configfsf.guess",
        "#! /bin/sh\n# Attempt to guess a canonical system name.\ncase $A in\n  Debian*) a ;;\nesac\n",
        False,
    ),
    "a CPU's name": ("tune/pentium.asm", "  pushl %ebx\n  movl %eax, %ebx\n", False),
    "a name of no CPU": ("tune/pent.asm", "  pushl %ebx\n  movl %eax, %ebx\n", True),
    "an image that is an argument": (
        "Dockerfile",
        "ARG from=debian:12\nFROM ${from} AS build\nRUN apt-get install -y curl\n",
        False,
    ),
    "an image of a product": ("Dockerfile", "ARG from=base:12\nFROM ${from}\nRUN apt-get install -y curl\n", True),
    "a folder for a system": ("docker/rocky9/Dockerfile", "FROM base\nRUN yum install -y curl\n", False),
    "a part of a name": ("Makefile", "a:\n\tgrep Version redhat/a.spec\n", False),
    "sources in folders": ("Makefile.am", "D = \\\n\tasm/i386/src_gas/a.S \\\n\tb.c\n", False),
    "a hidden folder of CI": (".ci/install.sh", COPY, False),
    "a script for Debian": ("tools/build-deb-package.sh", "apt-get install -y curl\n", False),
    "a script for any": ("tools/build-debug.sh", "apt-get install -y curl\n", True),
    "a class for a database": (
        "a.py",
        "class PostgresqlMigrator(Migrator):\n    def a(self):\n"
        "        run('SELECT a FROM t WHERE b = %s::regclass')\n",
        False,
    ),
    "a cut string": ("a.c", 'fprintf(f, "INSERT INTO r(a,b)VALUES(%d,\'", n);\n', False),
}


def warnings_of(folder: Path) -> list[str]:
    return [f"{f.rule} {f.where} {f.message}" for f in scan([folder], RULES, TARGETS).findings if f.severity != "info"]


@pytest.mark.parametrize("kind", TEXTS)
def test_a_kind_of_place_is_quiet_and_what_is_like_it_is_not(tmp_path: Path, kind: str) -> None:
    place, text, warns = TEXTS[kind]
    folder = tmp_path / "产品 a"
    (folder / place).parent.mkdir(parents=True)
    (folder / place).write_text(text)
    assert bool(warnings_of(folder)) is warns, warnings_of(folder)


def test_a_case_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "a.sh").write_text(CASE)
    (tmp_path / "b.sh").write_text(CASE + CASE.partition("\n")[2])
    warned = warnings_of(tmp_path)
    assert [line.split()[0] for line in warned] == ["SRC-1"] * 3, warned


def test_members_of_archives_of_tests_are_notes(tmp_path: Path) -> None:
    for folder in ("tests", "dist"):
        (tmp_path / folder).mkdir()
        with tarfile.open(tmp_path / folder / "a.tar", "w") as archive:
            archive.addfile(tarfile.TarInfo("../../evil"))
    warned = [line for line in warnings_of(tmp_path) if line.startswith("ARC-1")]
    assert ["dist/a.tar" in line for line in warned] == [True], warned


def test_a_program_with_parts_for_databases_has_notes_in_them(tmp_path: Path) -> None:
    """One part alone is what the product has: another database gets it."""
    text = 'A = "SELECT `a` FROM t"\n'
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "mysql.py").write_text(text)
    assert [line.split()[0] for line in warnings_of(tmp_path / "one")] == ["SQL-1"]
    (tmp_path / "one" / "postgresql.py").write_text('A = "SELECT a FROM t"\n')
    assert warnings_of(tmp_path / "one") == []


@pytest.mark.parametrize(
    ("sql", "prose"),
    [
        ("update t set a = 1", False),
        ("UPDATE the table", False),
        ("select a from t", False),
        ("select 1", False),
        ("select the first one from all", True),
        ("delete from t", False),
        ("delete from t a where b = 'the last'", False),
        ("delete from disk when done", True),
        ("insert into t values (1)", False),
        ("insert into memory", True),
        ("", False),
    ],
)
def test_sentences_are_no_statements(sql: str, prose: bool) -> None:
    assert is_prose(sql) is prose


def test_a_condition_asks_for_a_database() -> None:
    text = 'if (db == DbType.ORACLE) {\n    run("'
    assert asked(text, len(text)) == ("oracle", "oracle")
    assert asked(text.replace("==", "!="), len(text)) == ("", "")
    both = 'if (isMySQL() || isOracle()) {\n    run("'
    assert asked(both, len(both)) == ("", "")


def test_remarks_end_where_they_end() -> None:
    text = "/* a\nb */ int c;\nint d; /* e */\n"
    ((start, end),) = remarks("a.c", text, languages_of("a.c", text))
    assert text[start:end] == "/* a\nb */"
    assert remarks("a.c", "/* never ends", ("c",)) == []


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        ("a TEXT PRIMARY KEY", [2]),
        ("a LONGTEXT NOT NULL UNIQUE,\nb INT PRIMARY KEY", [2]),
        ("a INT,\nb BLOB,\nUNIQUE KEY u (a, b)", [4]),
        ("a INT,\nb `TEXT`", []),
        ("a TEXT,\nb INT PRIMARY KEY,\nKEY k (b), KEY l (a(10), b)", []),
        ("a TEXT,\nFULLTEXT KEY f (a)", []),
        ("a TEXT,\nFOREIGN KEY (b) REFERENCES c (a)", []),
        ("a VARCHAR(9) PRIMARY KEY,\nb TEXT", []),
    ],
)
def test_keys_on_long_texts_say_a_length(columns: str, lines: list[int]) -> None:
    found = rules(f"CREATE TABLE t (\n{columns});\n", "mysql", "tidb")
    assert sorted(line for rule, line in found if rule == "SQL-28") == lines
    assert not any(rule == "SQL-28" for rule, _ in rules(f"CREATE TABLE t (\n{columns});\n", "postgresql"))


@pytest.mark.parametrize(
    ("place", "piece"),
    [
        ("a.c", "/*\n"),
        ("a.c", "#if defined(__riscv)\n"),
        ("a.py", 'def a():\n    """\n'),
        ("a.py", "def a():\n    '''x\n"),
        ("a.py", ")"),
        ("a.py", "class "),
        ("a.py", "a('delete from t')\n"),
        ("a.rs", "#[cfg(test)]\n"),
        ("a.sh", "cat <<E\n"),
        ("a.sh", "if a x86_64; then\n"),
        ("pom.xml", "<!--"),
        ("a.properties", " \n"),
        ("a.sql", "CREATE TABLE t (a TEXT KEY, "),
    ],
)
def test_what_never_ends_is_read_to_its_end(tmp_path: Path, place: str, piece: str) -> None:
    """300 KB of it; what takes too long is unread."""
    (tmp_path / place).write_text(piece * (300_000 // len(piece)))
    found = scan([tmp_path], RULES, TARGETS).findings
    assert not [each.message for each in found if each.rule == "READ-1" and "more than" in each.message]
