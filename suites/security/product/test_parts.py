"""What is installed on the target: a bill of materials, known vulnerabilities, signatures of packages."""

from __future__ import annotations

import datetime
import re

import pytest

from harness.control.parts import Parts
from harness.model.finding import Component, Targets
from harness.report.scan import render_sbom
from harness.scan import scan
from harness.scan.inputs import product_files
from harness.scan.libraries import ECOSYSTEMS, hits, libraries, naming
from harness.scan.osv import advisories

#: CycloneDX's media type (IANA).
CYCLONEDX = "application/vnd.cyclonedx+json"


@pytest.fixture
def parts(application, installation):
    return Parts(application, installation)


@pytest.fixture(scope="module")
def contained(target):
    """Libraries inside the files that the product brings, as each says of itself; and how many places in these files
    could not be read, so that nothing is known of what lies there."""
    files = product_files(target.application, target.template_folder, target.architecture)
    names = {file: str(file.relative_to(target.template_folder)) for file in files}
    result = scan(files, (), Targets(), names=names)
    return [each for each in result.components if each.kind in ("maven", "npm", "pypi")], result.unread


def test_bill_of_materials(target, parts, contained, measure, keep, note):
    system, packages, programs = parts.system(), parts.packages(), parts.programs()
    kind, namespace = parts.family(), re.sub(r"[^a-z0-9.-]", "-", system.get("ID", "linux").lower())
    components = [
        Component(
            kind=kind, name=each.name, version=each.version, file="", architecture=each.architecture, group=namespace
        )
        for each in packages
    ]
    components += [
        Component(kind="file", name=each.path.rpartition("/")[2], version="", file=each.path, sha256=each.sha256)
        for each in programs
    ]
    inside, unread = contained
    components += inside
    measure("packages", len(packages), "1")
    measure("programs of the product", len(programs), "1")
    measure("libraries in its files", len(inside), "1")
    measure("places in its files that could not be read", unread, "1")
    name = f"{target.application.application} {target.application.version}"
    keep("sbom.cdx.json", render_sbom(components, tool="harness", subject=name), CYCLONEDX)
    known = {each.name for each in packages}
    lost = sorted({package.split(":")[0] for package in target.installed} - known)
    assert not lost, f"packages of the product are not installed any more: {', '.join(lost)}"
    note(
        f"CycloneDX 1.6: {len(packages)} packages of {system.get('PRETTY_NAME', namespace)}, {len(programs)} programs "
        f"of the product by SHA-256, {len(inside)} libraries in its files / {len(packages)} 个软件包，产品自身 "
        f"{len(programs)} 个程序文件，其中的第三方库 {len(inside)} 个"
    )


def test_known_vulnerabilities(target, parts, keep, note):
    given = [each for each in target.vulnerabilities if each.ecosystem not in ECOSYSTEMS]
    if not given:
        pytest.skip(
            "not-applicable: could not check: the matrix gives no `vulnerabilities` of the system / "
            "无法检查：矩阵未给出操作系统的漏洞数据"
        )
    ecosystem = _ecosystem(parts.system())
    files = [each for each in given if (each.ecosystem or ecosystem) == ecosystem] if ecosystem else []
    files = files or [each for each in given if each.ecosystem and not ecosystem]
    if not files:
        named = ", ".join(each.file for each in given)
        pytest.skip(
            f"capability: could not check: {named} is not for "
            f"{ecosystem or 'this system, which OSV has no name for'} / 无法检查：数据不适用于本系统"
        )
    packages = parts.packages()
    versions = {name: each.source_version for each in packages for name in (each.source,)}
    versions |= {each.name: each.version for each in packages if each.name not in versions}
    known, records = [], 0
    for each in files:
        some, number = advisories(target.matrix_folder / each.file, each.ecosystem or ecosystem, versions.__contains__)
        known, records = [*known, *some], records + number
    if not records:
        pytest.skip(
            f"capability: could not check: the data hold no record of {files[0].ecosystem or ecosystem} / 数据无记录"
        )
    less = parts.less({pair for one in known for pair in one.bounds(versions[one.package])})
    own = {package.split(":")[0] for package in target.installed}
    own |= {each.source for each in packages if each.name in own}
    hits = [(one, span) for one in known if (span := one.affects(versions[one.package], less)) is not None]
    lines = [_line(one, span, versions[one.package], own) for one, span in hits]
    keep("vulnerabilities.txt", "".join(f"{line}\n" for line in sorted(lines)) or "none\n")
    fixed = [(one, span) for one, span in hits if one.package in own and span.fixed and one.urgency != "unimportant"]
    mended = "; ".join(
        f"{one.package} {versions[one.package]}: {one.cve}, fixed in {span.fixed}" for one, span in fixed[:20]
    )
    data = ", ".join(f"{each.file} of {each.date}" for each in files)
    assert not fixed, f"{len(fixed)} known vulnerabilities of the product's packages have a fix ({data}): {mended}"
    demand_fresh(files)
    ours = [one for one, _ in hits if one.package in own]
    note(
        f"{data}: {records} records, {len(versions)} packages; {len(ours)} without a fix in the product's packages, "
        f"{len(hits) - len(ours)} in others of the system / 产品软件包无可修复的已知漏洞，未有修复的 {len(ours)} 个；"
        f"系统其他软件包 {len(hits) - len(ours)} 个"
    )


def demand_fresh(files):
    """Data that are older than the matrix allows show no absence."""
    today = datetime.datetime.now(datetime.UTC).date()
    if stale := [each for each in files if (today - each.date).days > each.days]:
        words = ", ".join(f"{each.file} is of {each.date}, {(today - each.date).days} days old" for each in stale)
        pytest.skip(
            f"capability: could not check: the data are stale: {words} (most are {stale[0].days}); what they know is "
            f"fixed / 无法检查：数据过期"
        )


def test_vulnerable_libraries(target, contained, keep, note):
    inside, unread = contained
    mine = libraries(inside)
    unseen = [f"{unread} places in the product's files could not be read / {unread} 处无法读取"] if unread else []
    if unseen and not mine:
        pytest.skip(f"capability: could not check: {unseen[0]}")
    if not mine:
        pytest.skip(
            "not-applicable: no file of the product says that it is a library of Maven, PyPI or npm / 未识别出第三方库"
        )
    given = [each for each in target.vulnerabilities if each.ecosystem in {each.ecosystem for each in mine}]
    met, odd, records, empty = [], [], 0, []
    for data in given:
        known, number = advisories(target.matrix_folder / data.file, data.ecosystem, naming(mine, data.ecosystem))
        some, unclear = hits(mine, known, data.ecosystem)
        met, odd, records = [*met, *some], [*odd, *unclear], records + number
        empty += [] if number else [f"{data.file} holds no record of {data.ecosystem}"]
    lines = sorted({_hit_line(hit) for hit in met})
    keep("libraries.txt", "".join(f"{line}\n" for line in lines) or "none\n")
    sure = sorted({_hit_words(hit) for hit in met if hit.library.whole and hit.span.fixed})
    dates = ", ".join(f"{each.file} of {each.date}" for each in given)
    assert not sure, f"{len(sure)} known vulnerabilities of libraries have a fix ({dates}): {'; '.join(sure[:20])}"
    demand_fresh(given)
    doubts = [
        *unseen,
        *empty,
        *sorted({f"{each.name} {each.version or '(no version)'} cannot be compared" for each in odd}),
    ]
    doubts += sorted({f"{_hit_words(hit)} (its group is not stated)" for hit in met if not hit.library.whole})
    if doubts:
        pytest.skip(f"capability: could not check wholly / 无法完全检查: {'; '.join(doubts[:10])}")
    lacking = sorted({each.ecosystem for each in mine} - {each.ecosystem for each in given})
    counts = {name: sum(each.ecosystem == name for each in mine) for name in ECOSYSTEMS}
    if lacking:
        words = ", ".join(f"{counts[name]} of {name}" for name in lacking)
        known = f"; {records} records of others show nothing with a fix" if given else ""
        pytest.skip(
            f"not-applicable: could not check: the matrix gives no data for libraries: {words}{known} / 无法检查"
        )
    shown = ", ".join(f"{number} of {name}" for name, number in counts.items() if number)
    note(f"{dates}: {records} records; libraries: {shown}; {len(lines)} without a fix / 未有修复的 {len(lines)} 个")


def test_packages_are_signed(target, parts, note):
    packages = {each.name: each for each in parts.packages()}
    own = sorted({package.split(":")[0] for package in target.installed} & packages.keys())
    if not own:
        pytest.skip("not-applicable: the product is no package of the system / 产品不是系统软件包")
    doubts = parts.unverified_sources()
    if doubts:
        note(f"the laboratory's sources are not verified / 实验室的软件源未验证签名: {'; '.join(doubts[:5])}")
    shipped = sorted({package.split(":")[0] for package in target.shipped} & packages.keys())
    if parts.family() == "rpm":
        unsigned = [name for name in own if not packages[name].signature]
        assert not unsigned, f"packages without a signature: {', '.join(unsigned)}"
        note(f"{len(own)} packages are signed / {len(own)} 个软件包均有签名: {packages[own[0]].signature}")
        return
    if shipped:
        note(
            "no signed source, they came as files of the product, and dpkg knows no signatures / "
            f"非来自签名的软件源，随产品交付，dpkg 无包签名: {', '.join(shipped)}"
        )
    signed = [name for name in own if name not in shipped]
    if doubts or not signed:
        pytest.skip(
            "not-applicable: no package of the product came from a source whose signature is verified / "
            f"无来自已验证签名来源的软件包: {own}"
        )
    note(f"from repositories whose signature apt verifies / 来自由 apt 验证签名的软件源: {', '.join(signed)}")


def _ecosystem(system):
    """The name that OSV has for a system (https://ossf.github.io/osv-schema/, defined ecosystems)."""
    identity, version = system.get("ID", "").lower(), system.get("VERSION_ID", "")
    if identity == "debian":
        return f"Debian:{version}" if version else ""
    if identity == "openeuler":
        title = re.search(r"\((LTS(?:-SP\d+)?)\)", system.get("VERSION", ""))
        return f"openEuler:{version}-{title[1]}" if title else f"openEuler:{version}"
    return ""


def _hit_words(hit):
    ending = f", fixed in {hit.span.fixed}" if hit.span.fixed else ", no fix"
    return f"{hit.library.name} {hit.library.version}: {hit.advisory.cve}{ending}"


def _hit_line(hit):
    words = [hit.library.ecosystem, _hit_words(hit), hit.library.file, hit.advisory.severity, hit.advisory.summary]
    return "  ".join(word for word in words if word)


def _line(one, span, version, own):
    whose = "product" if one.package in own else "system"
    words = [whose, one.package, version, one.cve, f"fixed in {span.fixed}" if span.fixed else "no fix"]
    return "  ".join([*words, *(word for word in (one.urgency, one.severity, one.summary) if word)])
