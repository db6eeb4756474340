"""Systems of the RPM family: their repositories, and what is read from what dnf, rpm and media print."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.containers.sources import sources_in
from harness.importing.media import medium_of
from harness.model.definitions import Os, Repository
from harness.model.definitions.target import KEY_BEGINS
from harness.model.recipe import PackageFact, Recipe
from harness.provision.dnf import signature_in
from harness.provision.repositories import is_repository, repository_files, repository_notes
from harness.provision.trouble import StepTrouble, trouble_of
from harness.system.process import Completed

KEY = f"{KEY_BEGINS}\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"
ENTRY = {
    "os": "lab-euler",
    "name": "x",
    "vendor": "x",
    "family": "rpm",
    "package_manager": "dnf",
    "certainty": "measured",
    "source": "tests",
}


def system(*repositories: dict[str, str], family: str = "rpm") -> Os:
    return Os.model_validate({**ENTRY, "family": family, "repositories": list(repositories)})


def test_files_of_the_repositories_of_an_entry() -> None:
    """Each has a file of its own, and its key too, where the entry holds it; the evidence says what was verified."""
    known = system(
        {"repository": "os", "baseurl": "http://mirror.lab/OS/$basearch/", "gpgkey": KEY},
        {"repository": "extras", "baseurl": "https://mirror.lab/extras", "gpgkey": "/etc/pki/rpm-gpg/RPM-GPG-KEY-x"},
        {"repository": "own", "baseurl": "http://mirror.lab/own", "unsigned": "built in the laboratory"},
    )
    files = {file.path: file.content for file in repository_files(known)}
    assert files["/etc/pki/rpm-gpg/harness-os"] == KEY
    assert (
        "baseurl=http://mirror.lab/OS/$basearch/\nenabled=1\nskip_if_unavailable=0\ngpgcheck=1\n"
        in files["/etc/yum.repos.d/harness-os.repo"]
    )
    assert "gpgkey=file:///etc/pki/rpm-gpg/harness-os\n" in files["/etc/yum.repos.d/harness-os.repo"]
    assert "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-x\n" in files["/etc/yum.repos.d/harness-extras.repo"]
    assert "gpgcheck=0\n" in files["/etc/yum.repos.d/harness-own.repo"]
    assert [is_repository(path) for path in files] == [False, True, True, True]
    notes = repository_notes(known)
    assert ["not verified, accepted: built in the laboratory" in note for note in notes] == [False, False, True]
    assert repository_files(system()) == ()
    (source,) = sources_in("http://mirror.lab/OS/$basearch/", public=False)
    assert source.holds("http", "mirror.lab", 80, "/OS/x86_64/repodata/repomd.xml")
    assert not source.holds("http", "mirror.lab", 80, "/else")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"gpgkey": ""}, "either the key"),
        ({"unsigned": "also"}, "either the key"),
        ({"gpgkey": "http://mirror.lab/key"}, "proves nothing"),
        ({"gpgkey": "/etc/a\nenabled=0"}, "proves nothing"),
        ({"baseurl": "file:///media"}, "pattern"),
        ({"baseurl": "http://user:secret@mirror.lab/"}, "pattern"),
        ({"baseurl": "http://mirror.lab/\ngpgcheck=0"}, "pattern"),
    ],
)
def test_a_repository_that_proves_nothing_or_is_none_is_refused(change: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Repository.model_validate({"repository": "os", "baseurl": "http://mirror.lab/", "gpgkey": KEY, **change})


def test_repositories_are_of_the_rpm_family_and_have_names_of_their_own() -> None:
    value = {"repository": "os", "baseurl": "http://mirror.lab/", "gpgkey": KEY}
    with pytest.raises(ValidationError, match="the RPM family"):
        system(value, family="debian")
    with pytest.raises(ValidationError, match="two repositories have the name os"):
        system(value, value)


def trouble(
    text: str, cause: str = "product", *, packages: tuple[str, ...] = ("seeded",), title: str = "step"
) -> StepTrouble:
    recipe = Recipe(
        name="seeded", os="lab-euler", architecture="x86_64", packages=packages, commands=("dnf -y install other",)
    )
    return trouble_of(title, Completed(rc=1, out="", err=text), recipe, cause)


@pytest.mark.parametrize(
    ("text", "cause", "told"),
    [
        ("Error: Unable to find a match: seeded", "config", "has no package seeded"),
        ("Failed to resolve the transaction:\nNo match for argument: seeded", "config", "has no package seeded"),
        (
            "Module or Group 'seeded' is not available.\nError: Nothing to do.",
            "config",
            "has no group or module seeded",
        ),
        (
            "Public key for seeded-1.0-1.noarch.rpm is not installed\nError: GPG check FAILED",
            "config",
            "Public key for",
        ),
        ("Package seeded-1.0-1.noarch.rpm is not signed\nError: GPG check FAILED", "infra", "not signed"),
        ("Error: Failed to download metadata for repo 'os': Cannot download repomd.xml", "infra", "gives nothing"),
        ("[MIRROR] a.rpm: Downloading successful, but checksum doesn't match.", "infra", "checksum doesn't match"),
        ("package a-1.0-1.aarch64 is intended for a different architecture", "product", "different architecture"),
        ('Error: There are no enabled repositories in "/etc/yum.repos.d".', "config", "has no repository"),
        ("nothing provides libfoo.so.1 needed by seeded-1.0-1.noarch", "product", "nothing provides"),
    ],
)
def test_what_dnf_prints_is_blamed_on_the_right_party(text: str, cause: str, told: str) -> None:
    found = trouble(text)
    assert (found.cause, told in found.message) == (cause, True), found


def test_what_a_command_of_the_product_cannot_fetch_is_its_own_affair() -> None:
    text = "Error: Failed to download metadata for repo 'vendor'"
    assert trouble(text, title="dnf -y install other").cause == "product"
    assert trouble(text).cause == "infra"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a.rpm:\n    Header SHA256 digest: OK\n    Payload SHA256 digest: OK\n", "not signed"),
        ("    Header V4 RSA/SHA256 Signature, key ID 3d5f0a: NOKEY\n    Header SHA256 digest: OK\n", "does not know"),
        (
            "    Header V4 RSA/SHA256 Signature, key ID 3d5f0a: OK\n    MD5 digest: OK\n",
            "key 3d5f0a, which the system knows",
        ),
        ("    Header OpenPGP V4 RSA/SHA512 signature, key fingerprint: 3d5f0a: NOTTRUSTED\n", "does not know"),
    ],
)
def test_what_rpm_says_of_a_signature(text: str, told: str) -> None:
    assert told in signature_in(text)


def test_a_package_came_for_its_name_or_for_what_was_asked() -> None:
    fact = PackageFact(name="seeded-a", version="1", architecture="noarch", asked="@tools @more")
    assert fact.came_for({"@more"})
    assert fact.came_for(["seeded-a"])
    assert not fact.came_for(("seeded", "@tool"))
    group = PackageFact(name="gcc", version="1", architecture="x86_64", asked="@Development Tools @More Tools")
    assert all(group.came_for({word}) for word in ("@Development Tools", "@More Tools"))
    assert not group.came_for({"@Development", "Tools", ""})
    assert PackageFact(name="foo", version="1", architecture="x86_64", asked="libfoo >= 2").came_for({"libfoo >= 2"})


def test_what_media_say_of_themselves() -> None:
    release = "[release]\nname = openEuler\nversion = 22.03-LTS\n"
    tree = f"[general]\nfamily = openEuler\nversion = 22.03\narch = x86_64\n{release}"
    known = medium_of(tree, "", ("AppStream", ""))
    assert (known.release, known.version, known.architecture) == ("openEuler", "22.03-LTS", "x86_64")
    assert known.repositories == ("", "AppStream")
    old = medium_of("", "1597980000.0\nKylin Linux Advanced Server V10\naarch64\n1\n", ("",))
    assert (old.release, old.version, old.architecture) == ("Kylin Linux Advanced Server V10", "", "aarch64")
    hostile = medium_of("[general\n%(x)s = \x1b[2J", "\n", ())
    assert (hostile.release, hostile.architecture) == ("", "")
