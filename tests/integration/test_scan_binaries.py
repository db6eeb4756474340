"""The scan over what real compilers, linkers and packers make, and over real packages of three architectures."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from harness.model.finding import Finding, Targets
from harness.scan import scan
from tests.conftest import Run
from tests.debs import KNOWN_GOOD, POWERDNS, fetch
from tests.unit.test_scan_rules import RULES, TARGETS

X86, ARM = "gcc", "aarch64-linux-gnu-gcc"
ADD = "void add(double *a, double *b, int n) { for (int i = 0; i < n; i++) a[i] += b[i]; }\n"
COUNT = "int count(int *p) { return __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST); }\n"
MAIN = "int main(void) { return 0; }\n"
#: What the packages below are built for: Debian 12 and forky, and every CPU class of the three architectures.
DEBIAN = Targets(
    cpus={n: c for n, c in TARGETS.cpus.items() if n != "loongson-2k"},
    systems={n: TARGETS.systems[n] for n in ("debian-12", "debian-forky")},
    databases={n: TARGETS.databases[n] for n in ("postgresql", "mariadb", "sqlite")},
)


def build(path: Path, source: str, compiler: str, *options: str) -> Path:
    path.with_suffix(".c").write_text(source)
    subprocess.run([compiler, "-O2", *options, "-o", str(path), str(path.with_suffix(".c"))], check=True)
    path.with_suffix(".c").unlink()
    return path


def found(path: Path, rule: str) -> list[Finding]:
    return [one for one in scan([path], RULES, TARGETS).findings if one.rule == rule]


@pytest.mark.parametrize(
    ("compiler", "source", "options", "rule", "good"),
    [
        (X86, ADD, ["-mavx512f", "-O3", "-mprefer-vector-width=512"], "ISA-2", ["-mavx2", "-O3"]),
        (ARM, COUNT, ["-march=armv8.1-a"], "ISA-3", ["-march=armv8-a"]),
        (ARM, COUNT, ["-march=armv8.1-a"], "ISA-3", ["-march=armv8-a", "-mno-outline-atomics"]),
        (ARM, ADD, ["-march=armv8.2-a+sve", "-O3"], "ISA-4", ["-march=armv8.2-a", "-O3"]),
        (ARM, COUNT, ["-Wl,-z,max-page-size=4096"], "PAGE-1", ["-Wl,-z,max-page-size=65536"]),
    ],
)
def test_what_a_compiler_makes(
    tmp_path: Path, compiler: str, source: str, options: list[str], rule: str, good: list[str]
) -> None:
    bad = build(tmp_path / "bad", source + MAIN, compiler, *options)
    fine = build(tmp_path / "good", source + MAIN, compiler, *good)
    (one,) = found(bad, rule)
    assert one.severity == "blocker"
    assert found(fine, rule) == []
    subprocess.run(
        ["strip", "-s", str(bad)] if compiler == X86 else ["aarch64-linux-gnu-strip", "-s", str(bad)], check=True
    )
    assert [other.message for other in found(bad, rule)] == [one.message], "symbols are not needed"


def test_a_library_blocks_where_something_is_linked_with_it(tmp_path: Path) -> None:
    library = build(tmp_path / "libadd.so", COUNT, ARM, "-shared", "-fPIC", "-march=armv8.1-a")
    assert [one.severity for one in found(library, "ISA-3")] == ["warning"], "whoever loads it may ask first"
    build(
        tmp_path / "app",
        "int count(int *);\nint main(void) { int i = 0; return count(&i); }\n",
        ARM,
        f"-L{tmp_path}",
        "-Wl,--no-as-needed",
        "-ladd",
    )
    assert [one.severity for one in found(tmp_path, "ISA-3")] == ["blocker"]


def test_a_program_that_asks_first_is_not_blocked(tmp_path: Path) -> None:
    source = ADD.replace("void", '__attribute__((target_clones("avx512f","default"))) void')
    clones = build(tmp_path / "x", source + MAIN, X86, "-O3", "-mprefer-vector-width=512")
    assert {one.severity for one in found(clones, "ISA-2")} <= {"warning"}
    asks = "unsigned long getauxval(unsigned long);\nint main(void) { return getauxval(16); }\n"
    lse = build(tmp_path / "y", COUNT + asks, ARM, "-march=armv8.1-a")
    assert [one.severity for one in found(lse, "ISA-3")] == ["warning"]


@pytest.mark.parametrize("strip", [False, True])
def test_a_static_program_answers_for_its_own_code_alone(tmp_path: Path, strip: bool) -> None:
    """A static glibc has a memcpy with SVE that its IFUNC resolver chooses; that excuses no code of the program."""
    copies = "#include <string.h>\nint main(int n, char **v) { char b[4096]; memcpy(b, v[0], n); return b[n]; }\n"
    programs = {
        "good": build(tmp_path / "good", copies, ARM, "-static"),
        "pulse-server": build(
            tmp_path / "pulse-server", COUNT + MAIN, ARM, "-static", "-march=armv8.1-a", "-mno-outline-atomics"
        ),
        "adder": build(tmp_path / "adder", ADD + MAIN, ARM, "-static", "-O3", "-march=armv8.2-a+sve"),
    }
    for path in programs.values() if strip else ():
        subprocess.run(["aarch64-linux-gnu-strip", "-s", str(path)], check=True)
    assert {one.severity for one in found(programs["good"], "ISA-4")} <= {"warning"}
    assert found(programs["good"], "ISA-3") == []
    assert [one.severity for one in found(programs["pulse-server"], "ISA-3")] == ["blocker"]
    assert [one.severity for one in found(programs["adder"], "ISA-4")] == ["blocker"]


def test_the_level_that_a_linker_notes(tmp_path: Path) -> None:
    bad = build(tmp_path / "bad", MAIN, X86, "-Wl,-z,x86-64-v4")
    fine = build(tmp_path / "good", MAIN, X86)
    assert [one.message for one in found(bad, "ISA-1")] == ["it says that it needs x86-64-v4"]
    assert found(fine, "ISA-1") == []


def test_symbols_agree_with_readelf(tmp_path: Path) -> None:
    """Needed libraries and highest versions, over this machine's own libraries."""
    from harness.scan import elf

    looked = 0
    for path in sorted(Path("/usr/lib/x86_64-linux-gnu").glob("lib*.so*"))[:60]:
        if path.is_symlink() or path.read_bytes()[:4] != b"\x7fELF":
            continue
        told = subprocess.run(["readelf", "-dVW", str(path)], capture_output=True, text=True, check=True).stdout
        one = elf.read(path.read_bytes())
        assert one.needed == [line.split("[")[1].rstrip("]") for line in told.splitlines() if "(NEEDED)" in line]
        names = {line.split("Name: ")[1].split()[0] for line in told.splitlines() if "Name: GLIBC_" in line}
        needs = {v for every in one.versions.values() for v in every if v.startswith("GLIBC_")}
        assert needs == names, path
        looked += 1
    assert looked > 20


def test_a_real_rpm(tmp_path: Path) -> None:
    build(tmp_path / "app", MAIN, X86)
    (tmp_path / "t.spec").write_text(
        f"Name: t\nVersion: 1\nRelease: 1\nSummary: t\nLicense: t\n%define _build_id_links none\n"
        f"%description\nt\n%install\n"
        f"mkdir -p %{{buildroot}}/opt\ncp {tmp_path}/app %{{buildroot}}/opt/app\n%files\n/opt/app\n"
    )
    subprocess.run(
        ["rpmbuild", "-bb", "--define", f"_topdir {tmp_path}/rpm", str(tmp_path / "t.spec")],
        check=True,
        capture_output=True,
    )
    (package,) = (tmp_path / "rpm").rglob("*.rpm")
    result = scan([package], RULES, TARGETS)
    assert result.unread == 0, result.findings
    assert [(one.kind, one.name, one.version, one.architecture) for one in result.components] == [
        ("rpm", "t", "1-1", "x86_64")
    ]
    assert [one.file for one in result.findings if one.rule == "ARCH-1"] == [f"{package}!/opt/app"]


@pytest.mark.full
def test_nothing_blocks_packages_that_are_known_to_work() -> None:
    """At least 30 packages of the distribution, each for three architectures."""
    packages = fetch(KNOWN_GOOD)
    names = [path.name.partition("_")[0] for path in packages]
    assert sum(names.count(name) == 3 for name in set(names)) >= 30
    result = scan(packages, RULES, DEBIAN)
    assert [one for one in result.findings if one.severity == "blocker"] == []
    assert result.unread == 0, [one for one in result.findings if one.rule == "READ-1"]
    assert result.files > 5000


def test_the_application_of_the_first_slice(harness: Run, tmp_path: Path) -> None:
    """PowerDNS: nothing blocks where it is tested; Kylin V10 lacks its glibc; each schema is for its database."""
    packages = fetch(POWERDNS)
    assert len(packages) == 12
    known = [
        word
        for one in (
            "cpu=kunpeng-920",
            "cpu=phytium-ft2000plus",
            "cpu=loongson-3a5000",
            "os=debian-12",
            "os=debian-forky",
            "database=postgresql",
            "database=mariadb",
            "database=sqlite",
        )
        for word in ("--target", one)
    ]
    ran = harness("scan", *packages, *known, "--format", "json")
    assert ran.code == 0, ran.out
    assert [one for one in ran.json["findings"] if one["severity"] == "blocker"] == []
    kylin = harness(
        "scan",
        *packages,
        "--target",
        "cpu=kunpeng-920",
        "--target",
        "os=kylin-v10-sp3",
        "--target",
        "database=dameng-dm8",
        "--format",
        "json",
    )
    assert kylin.code == 1
    rules = {one["rule"] for one in kylin.json["findings"]}
    assert {"LIBC-1", "LIBC-2", "SQL-2"} <= rules
    glibc = [one for one in kylin.json["findings"] if one["rule"] == "LIBC-1"]
    assert all(one["targets"] == ["os:kylin-v10-sp3:aarch64"] for one in glibc)
    assert any(one["file"].endswith("!/usr/sbin/pdns_server") and "arm64" in one["file"] for one in glibc)


def _cyclonedx(path: Path) -> Any:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text()) is None
    return json.loads(path.read_text())


def test_a_bill_of_materials(harness: Run, tmp_path: Path) -> None:
    packages = fetch(POWERDNS, ["arm64"])
    ran = harness("scan", *packages, "--sbom", "bom.json", "--target", "cpu=kunpeng-920")
    assert ran.code == 0, ran.out
    value = _cyclonedx(tmp_path / "bom.json")
    found = {one["name"]: one for one in value["components"]}
    assert found["pdns-server"]["purl"].startswith("pkg:deb/pdns-server@4.7")
    assert all(len(one["hashes"][0]["content"]) == 64 for one in value["components"])
