"""Libraries inside a product's files, and whether an advisory is for them."""

from __future__ import annotations

import pytest

from harness.model.finding import Component
from harness.scan.libraries import ECOSYSTEMS, Library, hits, libraries, naming
from harness.scan.osv import Advisory, Span


def advisory(package: str, *spans: Span, versions: tuple[str, ...] = ()) -> Advisory:
    return Advisory(id="GHSA-x", aliases=("CVE-2026-1",), package=package, summary="", spans=spans, versions=versions)


def component(kind: str, name: str, version: str, group: str = "") -> Component:
    return Component(kind=kind, name=name, version=version, file=f"a!{name}", group=group)


def test_libraries_have_the_names_that_osv_gives_them() -> None:
    some = libraries(
        [
            component("maven", "log-core", "2.1", "org.example"),
            component("maven", "guava", "31.1-jre"),
            component("pypi", "Zope.Interface", "6.0"),
            component("npm", "@scope/left", "1.0.0"),
            component("npm", "@scope/left", "1.0.0"),
            component("deb", "dpkg", "1"),
            component("npm", "no-version", ""),
        ]
    )
    assert [(each.ecosystem, each.name, each.whole) for each in some] == [
        ("Maven", "guava", False),
        ("Maven", "org.example:log-core", True),
        ("PyPI", "zope-interface", True),
        ("npm", "@scope/left", True),
        ("npm", "no-version", True),
    ]


@pytest.mark.parametrize(
    ("ecosystem", "version", "span", "met"),
    [
        ("Maven", "2.14.1", Span("2.0-beta9", fixed="2.15.0"), True),
        ("Maven", "2.0-alpha1", Span("2.0-beta9", fixed="2.15.0"), False),
        ("Maven", "2.15.0", Span("0", fixed="2.15.0"), False),
        ("Maven", "2.9", Span("0", last="2.10"), True),
        ("PyPI", "1.10rc1", Span("0", fixed="1.10"), True),
        ("PyPI", "1!1.0", Span("0", fixed="2.0"), False),
        ("npm", "4.17.20", Span("0", fixed="4.17.21"), True),
        ("npm", "4.17.21-rc.1", Span("0", fixed="4.17.21"), True),
        ("npm", "10.0.0", Span("0", fixed="9.0.0"), False),
    ],
)
def test_versions_are_compared_by_the_rules_of_their_ecosystem(
    ecosystem: str, version: str, span: Span, met: bool
) -> None:
    library = Library(ecosystem, "a", version, "f")
    seen, odd = hits([library], [advisory("a", span)], ecosystem)
    assert (bool(seen), odd) == (met, [])


def test_a_version_that_has_no_order_is_named_and_not_passed_over() -> None:
    for ecosystem, version in (
        ("PyPI", "unknown version"),
        ("npm", "latest"),
        ("Maven", "${project.version}"),
        ("npm", ""),
    ):
        odd_one = Library(ecosystem, "a", version, "f")
        seen, odd = hits([odd_one, Library("npm", "b", "1.0.0", "f")], [advisory("a", Span("0", fixed="9"))], ecosystem)
        assert (seen, odd) == ([], [odd_one])


def test_a_jar_without_a_group_may_be_any_of_its_name_and_one_with_a_group_is_that_alone() -> None:
    bare, whole = Library("Maven", "log", "1", "f", whole=False), Library("Maven", "org.a:log", "1", "f")
    known = [advisory("org.a:log", Span("0")), advisory("org.b:log", Span("0"))]
    seen, _ = hits([bare, whole], known, "Maven")
    assert sorted((hit.library.name, hit.advisory.package) for hit in seen) == [
        ("log", "org.a:log"),
        ("log", "org.b:log"),
        ("org.a:log", "org.a:log"),
    ]
    wanted = naming([whole], "Maven")
    assert (wanted("org.a:log"), wanted("org.b:log"), naming([bare], "Maven")("org.b:log")) == (True, False, True)


@pytest.mark.parametrize("ecosystem", ECOSYSTEMS)
def test_an_ecosystem_takes_only_its_own(ecosystem: str) -> None:
    others = [Library(name, "a", "1.0.0", "f") for name in ECOSYSTEMS if name != ecosystem]
    assert hits(others, [advisory("a", Span("0"))], ecosystem) == ([], [])
    assert not naming(others, ecosystem)("a")
