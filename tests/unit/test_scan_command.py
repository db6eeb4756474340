"""``harness scan``: targets, waivers, forms, exit codes; seeded faults, all of them named with their places."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from harness.cli.entry import cli
from harness.errors import UsageError
from tests.elves import elf
from tests.inputs import deb, pack, tar
from tests.unit.conftest import MatrixFolder

ALL_ARMS = {"cpu:kunpeng-920", "cpu:phytium-ft2000plus", "cpu:phytium-s2500", "cpu:phytium-d2000"}
LSE = [0xD10043FF, 0xD2800021, 0x910003E2, 0xF8210043, 0xD2800020, 0xD2800020, 0xD65F03C0]


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["scan", *map(str, words)])


def report(*words: str | Path) -> tuple[int, dict[str, Any]]:
    done = run(*words, "--format", "json")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout)


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product with every kind of fault, much of it deep inside archives; read, never changed."""
    root = tmp_path_factory.mktemp("seeded") / "product"
    (root / "src").mkdir(parents=True)
    (root / "sql").mkdir()
    jni = pack(
        "jni.jar",
        [
            ("native/linux-x86_64/libjni.so", elf(machine="x86_64")),
            ("native/linux-aarch64/libjni.so", elf(machine="aarch64")),
        ],
    )
    war = pack(
        "app.war",
        [
            ("WEB-INF/lib/jni.jar", jni),
            ("WEB-INF/lib/x-1.0.jar", pack("x.jar", [("jre/bin/java", elf(machine="x86_64", kind="executable"))])),
        ],
    )
    (root / "app.ear").write_bytes(pack("app.ear", [("app.war", war)]))
    arm = elf(
        machine="aarch64",
        kind="executable",
        words=LSE,
        alignment=4096,
        rodata="<jemalloc>: x",
        versions={"libc.so.6": ["GLIBC_2.38"], "libstdc++.so.6": ["GLIBCXX_3.4.32"]},
    )
    (root / "tool_1_arm64.deb").write_bytes(deb("tool_1_arm64.deb", [("opt/tool", arm)]))
    x86 = elf(machine="x86_64", kind="executable", x86_level=4, code="62f1f54858c2" * 3 + "c3")
    fine = elf(machine="aarch64", kind="executable")
    old = elf(machine="loongarch64", kind="executable", interpreter="/lib64/ld.so.1")
    fast = [("fast/x86_64/fast", x86), ("fast/aarch64/fast", fine), ("fast/loongarch64/fast", old)]
    (root / "fast.tar.gz").write_bytes(tar(fast, "w:gz"))
    (root / "x.o").write_bytes(elf(machine="x86_64", kind="object"))
    (root / "cut.so").write_bytes(elf(machine="aarch64", cut=30))
    (root / "w-1-cp311-cp311-manylinux_2_17_x86_64.whl").write_bytes(
        pack("w.whl", [("w/_c.so", elf(machine="x86_64"))])
    )
    (root / "addon.tgz").write_bytes(tar([("package/prebuilds/linux-x64/a.node", elf(machine="x86_64"))], "w:gz"))
    (root / "src" / "a.c").write_text(
        '#include <immintrin.h>\nint f(void) {\n  char c = getchar();\n  __asm__("cpuid");\n  return c == EOF;\n}\n'
    )
    (root / "src" / "Makefile").write_text("CFLAGS = -m64 -msse4.2\n")
    (root / "src" / "install.sh").write_text(
        "#!/bin/sh\n[ -f /etc/redhat-release ] && yum install -y x\ncp lib/amd64/x /opt\n"
    )
    (root / "src" / "Dockerfile").write_text(
        "FROM --platform=linux/amd64 registry.example/base:12\nRUN apt-get install -y curl\n"
    )
    (root / "sql" / "schema.sql").write_text(
        "CREATE TABLE `t` (\n  id INT AUTO_INCREMENT PRIMARY KEY,\n  offset INT,\n  body LONGTEXT\n) "
        "ENGINE=InnoDB DEFAULT CHARSET=utf8;\nINSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE a = 1;\n"
        "SELECT DATE_FORMAT(a, '%Y') FROM t WHERE b = '' LIMIT 1, 2;\n"
        "SELECT NVL(a, 0) FROM a, b WHERE a.id = b.id (+);\n"
    )
    (root / "bomb.gz").write_bytes(gzip.compress(b" " * (140 << 20), 6))
    (root / "evil.zip").write_bytes(pack("evil.zip", [("../../etc/x", b"x")]))
    return root


@pytest.fixture(scope="module")
def reported(seeded: Path) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of a scan of ``seeded``."""
    return report(seeded)


@pytest.fixture(scope="module")
def shown(seeded: Path) -> tuple[str, str]:
    """What a scan of ``seeded`` prints for people, and its page."""
    page = seeded.parent / "scan.html"
    return run(seeded, "--html", page).stdout, page.read_text()


def test_every_seeded_fault_is_named_with_file_and_place(seeded: Path, reported: tuple[int, dict[str, Any]]) -> None:
    code, told = reported
    assert code == 1
    seen = {(one["rule"], one["file"].removeprefix(f"{seeded}/"), one["place"]) for one in told["findings"]}
    places = {(rule, file) for rule, file, _ in seen}
    assert places >= {
        ("ARCH-2", "app.ear!/app.war!/WEB-INF/lib/jni.jar!/native/linux-x86_64/libjni.so"),
        ("ARCH-2", "app.ear!/app.war!/WEB-INF/lib/x-1.0.jar!/jre/bin/java"),
        ("ARCH-2", "w-1-cp311-cp311-manylinux_2_17_x86_64.whl!/w/_c.so"),
        ("ARCH-2", "addon.tgz!/package/prebuilds/linux-x64/a.node"),
        ("ARCH-1", "tool_1_arm64.deb!/opt/tool"),
        ("ELF-1", "cut.so"),
        ("PKG-1", "tool_1_arm64.deb"),
        ("LOONG-1", "fast.tar.gz!/fast/loongarch64/fast"),
        ("READ-1", "bomb.gz!/bomb"),
        ("ARC-1", "evil.zip!/../../etc/x"),
    }
    assert seen >= {
        ("ISA-1", "fast.tar.gz!/fast/x86_64/fast", ".note.gnu.property"),
        ("ISA-2", "fast.tar.gz!/fast/x86_64/fast", ".text+0x0"),
        ("ISA-3", "tool_1_arm64.deb!/opt/tool", ".text+0xc"),
        ("LIBC-1", "tool_1_arm64.deb!/opt/tool", "GLIBC_2.38"),
        ("LIBC-2", "tool_1_arm64.deb!/opt/tool", "GLIBCXX_3.4.32"),
        ("PAGE-1", "tool_1_arm64.deb!/opt/tool", "program headers"),
        ("SRC-4", "src/a.c", "line 1"),
        ("SRC-6", "src/a.c", "line 3"),
        ("SRC-3", "src/a.c", "line 4"),
        ("SRC-2", "src/Makefile", "line 1"),
        ("SRC-7", "src/install.sh", "line 2"),
        ("SRC-9", "src/install.sh", "line 2"),
        ("SRC-1", "src/install.sh", "line 3"),
        ("SRC-10", "src/Dockerfile", "line 1"),
        ("SRC-8", "src/Dockerfile", "line 2"),
        ("SQL-1", "sql/schema.sql", "line 1"),
        ("SQL-2", "sql/schema.sql", "line 2"),
        ("SQL-8", "sql/schema.sql", "line 3"),
        ("SQL-12", "sql/schema.sql", "line 4"),
        ("SQL-3", "sql/schema.sql", "line 5"),
        ("SQL-15", "sql/schema.sql", "line 5"),
        ("SQL-5", "sql/schema.sql", "line 6"),
        ("SQL-9", "sql/schema.sql", "line 7"),
        ("SQL-7", "sql/schema.sql", "line 7"),
        ("SQL-4", "sql/schema.sql", "line 7"),
        ("SQL-10", "sql/schema.sql", "line 8"),
        ("SQL-6", "sql/schema.sql", "line 8"),
    }
    assert any(rule == "PAGE-2" for rule, _, _ in seen)
    assert told["unread"] == 1
    by_rule = {one["rule"]: set(one["targets"]) for one in told["findings"]}
    assert by_rule["ISA-3"] == ALL_ARMS - {"cpu:kunpeng-920"}
    assert by_rule["ISA-2"] == {"cpu:hygon-c86", "cpu:zhaoxin-kh40000"}
    assert "os:kylin-v10-sp3:aarch64" in by_rule["PAGE-1"]
    assert "os:debian-forky:loongarch64" in by_rule["LOONG-1"]
    assert "database:dameng-dm8" in by_rule["SQL-2"]


def test_only_the_targets_that_are_named(seeded: Path) -> None:
    _, told = report(seeded, "--target", "cpu=kunpeng-920", "--target", "database=mariadb")
    targets = {target for one in told["findings"] for target in one["targets"]}
    assert targets == {"cpu:kunpeng-920", "database:mariadb"}
    assert "ISA-3" not in {one["rule"] for one in told["findings"]}


def waiver(tmp_path: Path, **keys: object) -> Path:
    value = {
        "case": "ARCH-1",
        "because": "known",
        "approved_by": "QA",
        "evidence": "ticket 1",
        "expires": str(datetime.date.today() + datetime.timedelta(days=30)),
        **keys,
    }
    path = tmp_path / "waivers.yaml"
    path.write_text(yaml.safe_dump({"waivers": [value]}))
    return path


def test_a_waiver_accepts_what_it_names_until_it_expires(tmp_path: Path) -> None:
    root = tmp_path / "p"
    (root / "a").mkdir(parents=True)
    for name in ("a/one", "two"):
        (root / name).write_bytes(elf(machine="x86_64", kind="executable"))
    arm = ("--target", "cpu=kunpeng-920")
    assert report(root, *arm)[0] == 1
    code, told = report(root, *arm, "--waivers", waiver(tmp_path))
    assert (code, len(told["findings"]), len(told["waived"])) == (0, 0, 2)
    assert told["waived"][0]["approved_by"] == "QA"
    code, told = report(root, *arm, "--waivers", waiver(tmp_path, files=["*/a/*"]))
    assert (code, len(told["findings"]), len(told["waived"])) == (1, 1, 1)
    code, told = report(root, *arm, "--waivers", waiver(tmp_path, when={"cpu": "phytium-d2000"}))
    assert (code, len(told["waived"])) == (1, 0)
    lapsed = run(root, *arm, "--waivers", waiver(tmp_path, expires="2020-01-01"))
    assert lapsed.exit_code == 1
    assert "waiver for ARCH-1 expired on 2020-01-01: it accepts nothing" in lapsed.stderr


def test_exit_codes(tmp_path: Path) -> None:
    (tmp_path / "ok.sh").write_text("#!/bin/sh\necho\n")
    assert run(tmp_path).exit_code == 0
    (tmp_path / "x.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(60))
    done = run(tmp_path)
    assert done.exit_code == 3
    assert "could not be read: nothing is known of them" in done.stdout
    (tmp_path / "app").write_bytes(elf(machine="x86_64", kind="executable"))
    assert run(tmp_path).exit_code == 1


def test_for_people(seeded: Path, shown: tuple[str, str]) -> None:
    printed, _ = shown
    assert "阻断 blocker ISA-3 使用 ARMv8.1 LSE 原子指令 ARMv8.1 LSE atomics are used" in printed
    assert "cpu: phytium-d2000, phytium-ft2000plus, phytium-s2500" in printed
    assert "没有发现不等于可以运行" in printed
    assert run(seeded, "--all").stdout.count("\n") > printed.count("\n")


def test_sarif(seeded: Path, tmp_path: Path) -> None:
    done = run(seeded, "--format", "sarif", "--waivers", waiver(tmp_path))
    value = json.loads(done.stdout)
    results = value["runs"][0]["results"]
    rules = value["runs"][0]["tool"]["driver"]["rules"]
    assert all(rules[one["ruleIndex"]]["id"] == one["ruleId"] for one in results)
    one = next(one for one in results if one["ruleId"] == "SRC-4")
    assert one["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    assert {one["level"] for one in results} == {"error", "warning", "note"}
    assert any(one.get("suppressions") for one in results if one["ruleId"] == "ARCH-1")
    inside = next(one for one in results if one["ruleId"] == "ISA-3")
    assert inside["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("tool_1_arm64.deb")
    assert inside["locations"][0]["logicalLocations"][0]["fullyQualifiedName"].endswith("!/opt/tool: .text+0xc")


def test_html_stands_alone(shown: tuple[str, str]) -> None:
    _, text = shown
    for word in ("ISA-3", "phytium-d2000", "飞腾", "app.ear!/app.war!/WEB-INF/lib/jni.jar"):
        assert word in text
    assert "src=" not in text
    assert "http" not in text.replace("https://xinchuang", "")


def test_explain() -> None:
    done = run("--explain", "sql-1")
    assert done.exit_code == 0
    assert "SQL-1 反引号标识符 Identifiers in backticks" in done.stdout
    assert "SELECT `name` FROM t;" in done.stdout
    unknown = run("--explain", "XXX-1")
    assert isinstance(unknown.exception, UsageError)
    assert "no rule 'XXX-1'; there is: ARCH-1" in unknown.exception.message


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "nothing to scan"),
        (["/no/such"], "no such file or folder: /no/such"),
        ([".", "--target", "cpu"], "expected cpu=NAME"),
        ([".", "--target", "cpu=pentium"], "no such cpu; known: "),
        (["--matrix", "/no/such"], "no matrix at /no/such"),
    ],
)
def test_bad_words(words: list[str], told: str) -> None:
    done = run(*words)
    assert isinstance(done.exception, UsageError)
    assert told in done.exception.message


def test_the_files_of_a_matrix(folder: MatrixFolder) -> None:
    """Each artifact is held against the targets that it goes to; folders named by ``scan`` against all."""
    (folder.root / "tool-arm").write_bytes(elf(machine="aarch64", kind="executable", words=LSE))
    (folder.root / "tool-x86").write_bytes(elf(machine="x86_64", kind="executable"))
    (folder.root / "sql").mkdir()
    (folder.root / "sql" / "a.sql").write_text("SELECT `a` FROM t;\n")
    artifacts = [
        {"path": f"tool-{word}", "architecture": machine, "install": "copy", "to": "/opt/tool"}
        for word, machine in (("arm", "aarch64"), ("x86", "x86_64"))
    ]
    folder.change("application", artifacts=artifacts, scan=["sql"])
    folder.change(
        "matrix",
        axes={"os": ["debian-12"], "cpu": ["x86-64", "kunpeng-920", "phytium-ft2000plus"], "database": ["postgresql"]},
    )
    code, told = report("--matrix", folder.root)
    assert code == 1
    found = {(one["rule"], Path(one["file"]).name, tuple(one["targets"])) for one in told["findings"]}
    assert found == {("ISA-3", "tool-arm", ("cpu:phytium-ft2000plus",)), ("SQL-1", "a.sql", ("database:postgresql",))}


def test_json_has_its_schema(reported: tuple[int, dict[str, Any]]) -> None:
    """The shape that scripts rely on."""
    text = {"type": "string"}
    schema = {
        "type": "object",
        "required": ["findings", "files", "bytes", "seconds"],
        "properties": {
            "findings": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["rule", "severity", "file", "place", "targets", "message", "advice"],
                    "properties": {
                        "rule": text,
                        "severity": {"enum": ["blocker", "warning", "info"]},
                        "file": text,
                        "place": text,
                        "targets": {"type": "array", "items": text, "minItems": 1},
                        "message": text,
                        "advice": text,
                    },
                },
            }
        },
    }
    jsonschema.validate(reported[1], schema)
