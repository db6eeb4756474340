"""The catalogue says what is known and how sure it is, and never serves a target that nothing here is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from harness.attest.serving import host_ids, serving
from harness.cli.catalogue import facts_of
from harness.cli.entry import cli
from harness.errors import DefinitionError, UsageError
from harness.machines.placing import by_vm
from harness.model.definitions import Cpu, Os
from harness.model.results import Fidelity
from harness.reading.entries import TARGET_KINDS, entries, entry
from harness.reading.parsing import parse
from harness.reading.read import read
from tests.unit.conftest import MatrixFolder

INTEL = {"vendor_id": "GenuineIntel", "cpu family": "6"}


def cpu(name: str) -> Cpu:
    value = entry(f"cpu/{name}")[2]
    assert isinstance(value, Cpu)
    return value


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            "cpu",
            "kunpeng-920 phytium-ft2000plus phytium-s2500 phytium-d2000 hygon-c86 zhaoxin-kh40000 zhaoxin-kx6000 "
            "zhaoxin-kx7000 loongson-3a4000 loongson-3a5000 loongson-3a6000 loongson-3c5000 sunway-3231 riscv64",
        ),
        (
            "os",
            "openeuler-20.03 openeuler-22.03 openeuler-24.03 kylin-v10-sp1 kylin-v10-sp2 kylin-v10-sp3 kylin-v11 "
            "uos-server-20 anolis-8 anolis-23 deepin-23 loongnix-20 debian-12 debian-13 debian-forky",
        ),
        (
            "database",
            "dameng-dm8 kingbase-v8 opengauss gaussdb gbase-8a gbase-8s gbase-8c oceanbase tidb oscar highgo "
            "vastbase uxdb yashandb postgresql mariadb mysql sqlite",
        ),
        ("middleware", "tongweb bes apusic inforsuite tomcat-10"),
        ("runtime", "bisheng-jdk-17 dragonwell-8 kona-jdk-17 loongson-jdk-17 openjdk-17"),
        ("accelerator", "ascend-910b"),
    ],
)
def test_what_the_programme_knows_is_there(kind: str, names: str) -> None:
    assert set(names.split()) <= entries(kind).keys()


@pytest.mark.parametrize("kind", TARGET_KINDS)
def test_every_fact_has_its_certainty_and_source(kind: str) -> None:
    for name, (_, value) in entries(kind).items():
        for key, shown, certainty, source in facts_of(value):
            assert shown, (name, key)
            assert certainty in ("measured", "source", "likely", "general"), (name, key)
            assert source, (name, key)


def test_the_certainty_of_one_fact_may_be_another() -> None:
    facts = {key: (certainty, source) for key, _, certainty, source in facts_of(entry("phytium-s2500")[2])}
    assert facts["features.absent"][0] == "general"
    assert facts["features.present"][0] == "likely"


def test_provenance_is_of_something_that_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "cpu": "c",
                "name": "C",
                "vendor": "V",
                "architecture": "x86_64",
                "certainty": "source",
                "source": "s",
                "provenance": {"page_sizes": {"certainty": "likely", "source": "t"}},
            }
        )
    )
    with pytest.raises(DefinitionError, match="provenance of page_sizes, which this file does not state"):
        parse(path, Cpu)


@pytest.mark.parametrize(
    ("name", "architecture", "ids", "fidelity", "by"),
    [
        ("hygon-c86", "x86_64", INTEL, None, "vendor_id GenuineIntel, not HygonGenuine"),
        ("hygon-c86", "x86_64", {}, None, "vendor_id nothing"),
        ("hygon-c86", "x86_64", {"vendor_id": "HygonGenuine", "cpu family": "24"}, Fidelity.CONTAINER, "this machine"),
        ("hygon-c86", "aarch64", {}, Fidelity.USER_EMULATED, "qemu-user Dhyana"),
        ("zhaoxin-kx6000", "aarch64", {}, None, "QEMU has no model of it"),
        ("x86-64", "x86_64", INTEL, Fidelity.CONTAINER, "this machine"),
        ("x86-64", "aarch64", {}, Fidelity.USER_EMULATED, "qemu-user default model"),
        ("kunpeng-920", "x86_64", INTEL, Fidelity.USER_EMULATED, "qemu-user neoverse-n1"),
        (
            "kunpeng-920",
            "aarch64",
            {"CPU implementer": "0x48", "CPU part": "0xd01"},
            Fidelity.CONTAINER,
            "this machine",
        ),
        ("kunpeng-920", "aarch64", {"CPU implementer": "0x70", "CPU part": "0x663"}, None, "CPU implementer 0x70"),
        ("loongson-3a5000", "loongarch64", {"Model Name": "Loongson-3A5000-HV"}, Fidelity.CONTAINER, "this machine"),
        ("loongson-3a5000", "loongarch64", {"Model Name": "Loongson-3A6000"}, None, "Loongson-3A6000"),
        ("sunway-3231", "sw_64", {}, None, "no images are built for sw_64"),
    ],
)
def test_a_cpu_is_served_by_what_is_it_or_emulates_it(
    name: str, architecture: str, ids: dict[str, str], fidelity: Fidelity | None, by: str
) -> None:
    service = serving(cpu(name), architecture, ids)
    assert service.fidelity is fidelity
    assert by in service.by


def test_this_machine_shows_ids() -> None:
    assert host_ids()


@pytest.mark.parametrize(
    ("axis", "name", "told"),
    [
        ("database", "gbase-8a", "how to install and start it is not"),
        ("os", "kylin-v10-sp1", "it is licensed"),
        ("os", "openeuler-24.03", "its images are not built here"),
        ("cpu", "sunway-3231", "no images are built for sw_64"),
    ],
)
def test_a_matrix_that_names_what_nothing_can_serve_is_told_so(
    folder: MatrixFolder, axis: str, name: str, told: str
) -> None:
    axes = {"os": ["debian-12"], "cpu": ["x86-64"], "database": ["sqlite"]}
    folder.change("matrix", axes={**axes, axis: [*axes[axis], name]})
    with pytest.raises(DefinitionError) as error:
        read(folder.root)
    (fault,) = error.value.faults
    assert fault.message.startswith(f"nothing can serve {axis} {name}:")
    assert told in fault.message
    assert fault.line > 1
    assert f"targets/{axis}/{name}.yaml" in fault.hint


def ask(*words: str) -> tuple[int, Any]:
    done = CliRunner().invoke(cli, ["targets", *words, "--format", "json"])
    return done.exit_code, json.loads(done.output)


def test_list_and_show() -> None:
    code, found = ask("list")
    assert code == 0
    assert {"kind", "name", "zh", "en", "certainty", "obstacle"} == found["targets"][0].keys()
    code, found = ask("show", "os/kylin-v10-sp1")
    facts = {fact["key"]: fact for fact in found["facts"]}
    assert (code, facts["page_size.aarch64"]["value"]) == (0, "65536")
    assert facts["architectures"]["certainty"] == "likely"
    for words in ([], ["list"], ["show", "hygon-c86"], ["show", "kylin-v10-sp3"], ["show", "ascend-910b"]):
        done = CliRunner().invoke(cli, ["targets", *words])
        assert done.exit_code == 0, done.output
        assert any(word in done.output for word in ("实测", "有据", "待核实"))


@pytest.mark.parametrize("name", ["nothing", "cpu/debian-12", "gpu/x"])
def test_a_name_that_is_not_there(name: str) -> None:
    done = CliRunner().invoke(cli, ["targets", "show", name])
    assert isinstance(done.exception, UsageError)
    assert done.exception.message == f"no target named {name!r}"


def test_check_tells_each_pair_and_why_not() -> None:
    code, found = ask("check")
    assert code == 0
    assert len(found["pairs"]) == len(entries("cpu")) * len(entries("os"))
    by = {(pair["cpu"], pair["os"]): pair for pair in found["pairs"]}
    systems, cpus = entries("os"), entries("cpu")
    for (cpu_name, os_name), pair in by.items():
        system, one = systems[os_name][1], cpus[cpu_name][1]
        assert isinstance(system, Os)
        assert isinstance(one, Cpu)
        expected = not system.obstacle and one.architecture in system.architectures
        machine = expected and by_vm(system, one).fidelity is not None
        assert pair["served"] == (expected and (serving(one).fidelity is not None or machine))
        assert pair["by"]
    assert by["loongson-3a5000", "debian-12"]["by"] == "debian-12 has no loongarch64 release"
    assert ask("check", "dameng-dm8") == (
        3,
        {
            "pairs": [],
            "targets": [
                {
                    "kind": "database",
                    "name": "dameng-dm8",
                    "served": False,
                    "fidelity": None,
                    "by": "it needs a server or an image of the laboratory, and databases.yaml here names none",
                }
            ],
        },
    )
    code, found = ask("check", "os/debian-forky")
    assert (code, {pair["os"] for pair in found["pairs"]}) == (0, {"debian-forky"})
    done = CliRunner().invoke(cli, ["targets", "check"])
    assert "pairs can be served here" in done.output


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["kylin-v11"], "kylin-v11 cannot be built: it is licensed"),
        (["debian-12", "--cpu", "loongson-3a5000"], "debian-12 has no loongarch64 release"),
        (["debian-12", "--cpu", "nothing"], "no cpu named 'nothing'"),
    ],
)
def test_what_cannot_be_built_is_told(words: list[str], told: str) -> None:
    done = CliRunner().invoke(cli, ["targets", "build", *words])
    assert isinstance(done.exception, UsageError)
    assert told in done.exception.message
