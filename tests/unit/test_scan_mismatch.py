"""A file of another architecture than is said of it blocks where it would be loaded, and nowhere else."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.model.finding import Finding
from harness.scan import scan
from harness.scan.images import manifests_of
from tests.elves import MACHINES, elf
from tests.inputs import deb, pack, tar
from tests.unit.test_scan_inputs import rpm
from tests.unit.test_scan_rules import RULES, TARGETS

X86, ARM, LOONG = (elf(machine=machine) for machine in ("x86_64", "aarch64", "loongarch64"))
RUNS = elf(machine="x86_64", kind="executable")
META = ("s-1.dist-info/METADATA", b"Metadata-Version: 2.1\nName: s\nVersion: 1\n")
MANIFEST = ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\n")
GO = {"x86_64": "amd64", "aarch64": "arm64", "loongarch64": "loong64"}


def mismatches(path: Path) -> list[Finding]:
    return [finding for finding in scan([path], RULES, TARGETS).findings if finding.rule == "ARCH-4"]


def wheel(tag: str, *members: tuple[str, bytes]) -> bytes:
    tags = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-{tag}\n".encode()
    return pack("s.whl", [*members, META, ("s-1.dist-info/WHEEL", tags)])


def npm(cpu: list[str], systems: list[str], *members: tuple[str, bytes]) -> bytes:
    value = json.dumps({"name": "n", "version": "1.0.0", "cpu": cpu, "os": systems}).encode()
    return tar([("package/package.json", value), *((f"package/{name}", data) for name, data in members)], "w:gz")


#: What is shipped -> the architectures whose CPUs it blocks on.
WRONG = {
    "s-1-py3-none-manylinux2014_aarch64.whl": (wheel("manylinux2014_aarch64", ("s/_c.so", X86)), {"aarch64"}),
    "s-1-py3-none-musllinux_1_2_x86_64.whl": (wheel("musllinux_1_2_x86_64", ("s/_c.so", ARM)), {"x86_64"}),
    "renamed.whl": (wheel("linux_loongarch64", ("s/_c.so", X86)), {"loongarch64"}),
    "n-1.tgz": (npm(["arm64"], ["linux"], ("n.node", X86)), {"aarch64"}),
    "n-2.tgz": (npm(["loong64"], [], ("lib/n.node", X86)), {"loongarch64"}),
    "p-1.tgz": (npm([], [], ("prebuilds/linux-arm64/n.node", X86), ("prebuilds/linux-x64/n.node", X86)), {"aarch64"}),
    "swapped.tgz": (
        npm([], [], ("prebuilds/linux-arm64/n.node", X86), ("prebuilds/linux-x64/n.node", ARM)),
        {"aarch64", "x86_64"},
    ),
    "jna.jar": (
        pack("jna.jar", [MANIFEST, ("com/sun/jna/linux-aarch64/libjnidispatch.so", X86)]),
        {"aarch64"},
    ),
    "jna-loong.jar": (
        pack("j.jar", [MANIFEST, ("com/sun/jna/linux-loongarch64/libjnidispatch.so", X86)]),
        {"loongarch64"},
    ),
    "netty.jar": (
        pack("n.jar", [MANIFEST, ("META-INF/native/libnetty_transport_native_epoll_aarch_64.so", X86)]),
        {"aarch64"},
    ),
    "folder.jar": (pack("n.jar", [MANIFEST, ("META-INF/native/linux-aarch_64/libx.so", X86)]), {"aarch64"}),
    "netty-epoll-linux-aarch_64.jar": (pack("n.jar", [MANIFEST, ("META-INF/native/libx.so", X86)]), {"aarch64"}),
    "libfoo-aarch64.so": (X86, {"aarch64"}),
    "probe-linux-arm64": (RUNS, {"aarch64"}),
    "tools-linux-arm64.tar": (tar([("bin/probe", RUNS)]), {"aarch64"}),
    "multiarch.tar": (tar([("usr/lib/aarch64-linux-gnu/libz.so.1", X86)]), {"aarch64"}),
    "t_1_arm64.deb": (deb("t_1_arm64.deb", [("opt/a", elf(machine="aarch64")), ("opt/b.so", X86)]), {"aarch64"}),
    "module_1_arm64.deb": (
        deb("module_1_arm64.deb", [("lib/modules/x.ko", elf(machine="x86_64", kind="object", sections=[".modinfo"]))]),
        {"aarch64"},
    ),
    "t-1.aarch64.rpm": (rpm([("./opt/t", RUNS)], gzip.compress, b"gzip", "aarch64"), {"aarch64"}),
    "other.rpm": (rpm([("./opt/t", ARM)], gzip.compress, b"gzip", "loongarch64"), {"loongarch64"}),
}
RIGHT = {
    "s-1-py3-none-manylinux2014_aarch64.whl": wheel("manylinux2014_aarch64", ("s/_c.so", ARM)),
    "any.whl": wheel("any", ("s/linux-x64/_c.so", X86), ("s/linux-arm64/_c.so", ARM)),
    "n-1.tgz": npm(["arm64", "x64"], ["linux"], ("n.node", X86)),
    "n-2.tgz": npm(["arm64"], ["win32"], ("n.node", X86)),
    "n-3.tgz": npm(["!arm64"], [], ("n.node", X86)),
    "n-4.tgz": npm(["arm64"], [], ("prebuilds/linux-x64/n.node", X86), ("prebuilds/linux-arm64/n.node", ARM)),
    "jna.jar": pack(
        "jna.jar", [MANIFEST, ("com/sun/jna/linux-aarch64/libj.so", ARM), ("com/sun/jna/linux-x86-64/libj.so", X86)]
    ),
    "gcc.tar": tar(
        [("usr/bin/aarch64-linux-gnu-gcc-12", RUNS), ("usr/lib/gcc-cross/aarch64-linux-gnu/12/lto.so", X86)]
    ),
    "qemu.tar": tar([("usr/bin/qemu-aarch64", RUNS), ("usr/bin/qemu-system-aarch64-static", RUNS)]),
    "ndk.tar": tar([("prebuilt/linux-x86_64/bin/aarch64-linux-android-ld", RUNS)]),
    "cross_1_amd64.deb": deb("cross_1_amd64.deb", [("usr/lib/linux-arm64/helper.so", X86)]),
    "x86_64.tar": tar([("lib/plugins-arm64.so", X86)]),
    "libarm64emu": X86,
    "box64_1_arm64.deb": deb("box64_1_arm64.deb", [("usr/bin/box64", ARM)]),
    "i386-on-amd64_1_amd64.deb": deb("i_1_amd64.deb", [("opt/linux-amd64/w.so", elf(machine="i386"))]),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_not_what_it_is_said_to_be_blocks_where_it_would_be_loaded(tmp_path: Path, name: str) -> None:
    data, architectures = WRONG[name]
    (tmp_path / name).write_bytes(data)
    findings = mismatches(tmp_path)
    assert {finding.severity for finding in findings} == {"blocker"}
    named = {TARGETS.cpus[target.name].architecture for finding in findings for target in finding.targets}
    assert named == architectures
    assert all("says" in finding.message for finding in findings)


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_said_truly_or_loaded_by_nothing_is_no_finding(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(RIGHT[name])
    assert mismatches(tmp_path) == []


def test_folders_of_npm_packages_say_what_they_are_for(tmp_path: Path) -> None:
    folder = tmp_path / "node_modules" / "@img" / "sharp-linux"
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"name": "@img/sharp-linux", "version": "1", "cpu": ["arm64"]}')
    (folder / "sharp.node").write_bytes(X86)
    (tmp_path / "other.node").write_bytes(X86)
    assert [finding.file for finding in mismatches(tmp_path)] == [str(folder / "sharp.node")]
    assert [finding.file for finding in mismatches(folder)] == [str(folder / "sharp.node")]


def test_what_lies_above_an_input_says_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "build-arm64" / "out"
    folder.mkdir(parents=True)
    (folder / "app").write_bytes(RUNS)
    assert mismatches(folder) == []
    assert mismatches(folder / "app") == []
    assert len(mismatches(tmp_path)) == 1


# --- images ---


def oci(*images: tuple[str, str, list[tuple[str, bytes]]]) -> list[tuple[str, bytes]]:
    """An OCI image layout; each image has an architecture by the index, one by its configuration, and files."""
    blobs: list[tuple[str, bytes]] = []

    def blob(data: bytes, kind: str) -> dict[str, object]:
        digest = f"{len(blobs):064x}"
        blobs.append((f"blobs/sha256/{digest}", data))
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}

    rows = []
    for by_index, by_configuration, members in images:
        layer = blob(gzip.compress(tar(members)), "application/vnd.oci.image.layer.v1.tar+gzip")
        text = {"architecture": by_configuration, "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
        configuration = blob(json.dumps(text).encode(), "application/vnd.oci.image.config.v1+json")
        manifest = {"schemaVersion": 2, "config": configuration, "layers": [layer]}
        row = blob(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")
        rows.append({**row, "platform": {"os": "linux", "architecture": by_index}})
    index = json.dumps({"schemaVersion": 2, "manifests": rows}).encode()
    return [("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), ("index.json", index), *blobs]


def laid_out(folder: Path, members: list[tuple[str, bytes]], form: str) -> Path:
    if form == "archive":
        (folder / "image.tar").write_bytes(tar(members))
        return folder / "image.tar"
    for name, data in members:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.mark.parametrize("form", ["archive", "folder"])
def test_each_image_of_several_is_held_against_its_own_platform(tmp_path: Path, form: str) -> None:
    helper = ("opt/helper", RUNS)
    images = [("amd64", "amd64", [("bin/sh", X86), helper]), ("arm64", "arm64", [("bin/sh", ARM), helper])]
    path = laid_out(tmp_path, oci(*images), form)
    (finding,) = mismatches(path)
    assert finding.message == "the image says aarch64, the file is for x86_64"
    assert finding.severity == "blocker"
    right = [("amd64", "amd64", [("bin/sh", X86)]), ("arm64", "arm64", [("bin/sh", ARM)])]
    (tmp_path / "right").mkdir()
    assert mismatches(laid_out(tmp_path / "right", oci(*right), form)) == []


def test_an_index_that_the_configuration_contradicts_is_named(tmp_path: Path) -> None:
    path = laid_out(tmp_path, oci(("arm64", "amd64", [("bin/sh", X86)])), "archive")
    assert "the index says aarch64, the configuration of the image says x86_64" in {f.message for f in mismatches(path)}


def test_the_name_of_an_image_or_a_package_that_says_otherwise_is_named(tmp_path: Path) -> None:
    configuration = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers"}}).encode()
    saved = json.dumps([{"Config": "c.json", "RepoTags": ["b:1"], "Layers": ["aa/layer.tar"]}]).encode()
    members = [("aa/layer.tar", tar([("bin/sh", X86)])), ("c.json", configuration), ("manifest.json", saved)]
    (tmp_path / "broker-docker-arm64.tar").write_bytes(tar(members))
    (tmp_path / "t_2_arm64.deb").write_bytes(deb("t_2_amd64.deb", [("opt/t", X86)]))
    (tmp_path / "t_3_amd64.deb").write_bytes(deb("t_3_amd64.deb", [("opt/t", X86)]))
    assert [finding.message for finding in mismatches(tmp_path)] == [
        "its name says aarch64, the image says x86_64",
        "its name says aarch64, the package says x86_64",
    ]


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    value=st.recursive(
        st.none() | st.text(max_size=9) | st.integers(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from(
                    ["layers", "config", "manifests", "platform", "digest", "architecture", "Config", "Layers"]
                ),
                x,
            )
        ),
    )
)
def test_manifests_of_any_shape_are_read(value: object) -> None:
    manifests_of("x.tar!/manifest.json", json.dumps([value, {"layers": value}]))
    manifests_of("x.tar!/blobs/sha256/" + "a" * 64, json.dumps({"layers": value, "manifests": value, "config": value}))


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    machine=st.sampled_from(["x86_64", "aarch64", "loongarch64"]),
    said=st.sampled_from(sorted(GO)),
    form=st.sampled_from(["prebuilds/linux-{}/a.node", "lib/liba-{}.so", "native/{}/liba.so", "a.linux-{}.node"]),
)
def test_a_name_blocks_exactly_where_it_is_not_true(tmp_path: Path, machine: str, said: str, form: str) -> None:
    assert machine in MACHINES
    (tmp_path / "x.tar").write_bytes(tar([(form.format(GO[said]), elf(machine=machine))]))
    assert len(mismatches(tmp_path / "x.tar")) == (machine != said)


def test_what_lies_beside_a_compiler_for_another_target_is_its_own(tmp_path: Path) -> None:
    """Plugins and helpers of GCC for ARM were accused where the scan began in its own folder."""
    folder = tmp_path / "aarch64-linux-gnu" / "12"
    folder.mkdir(parents=True)
    for name in ("cc1", "collect2", "liblto_plugin.so", "g++-mapper-server"):
        kind = "shared" if ".so" in name else "executable"
        (folder / name).write_bytes(elf(machine="x86_64", kind=kind))
    (folder / "libgcc_s.so.1").write_bytes(elf(machine="aarch64"))
    other = tmp_path / "lib" / "aarch64-linux-gnu"
    other.mkdir(parents=True)
    (other / "libwrong.so").write_bytes(elf(machine="x86_64"))
    result = scan([tmp_path], RULES, TARGETS)
    assert [Path(f.file).name for f in result.findings if f.rule == "ARCH-4"] == ["libwrong.so"]
