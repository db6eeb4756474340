"""Repositories that a system's definition names: what is written for them into its environments."""

from __future__ import annotations

from harness.model.definitions import Os, Repository
from harness.model.recipe import RecipeFile

_FOLDER = "/etc/yum.repos.d"
_PREFIX = f"{_FOLDER}/harness-"
_KEYS = "/etc/pki/rpm-gpg/harness-"
#: Folders of repository files that dnf 4, dnf 5 and yum read: dnf.conf(5), `reposdir`.
FOLDERS = (_FOLDER, "/etc/yum/repos.d", "/etc/distro.repos.d", "/usr/share/dnf5/repos.d")
#: A repository of the image that is away would fail every later command, and is no mirror of the laboratory.
SET_ASIDE = (
    f"for f in {' '.join(f'{folder}/*.repo' for folder in FOLDERS)}; do "
    f"case $f in {_PREFIX}*) ;; *) [ ! -e $f ] || mv $f $f.set-aside || exit 1 ;; esac; done"
)


def repository_files(system: Os) -> tuple[RecipeFile, ...]:
    """A file for each repository that the system's definition names, and for each key whose text it holds."""
    files = []
    for repository in system.repositories:
        key = repository.gpgkey
        if key and not key.startswith("/"):
            key = f"{_KEYS}{repository.repository}"
            files.append(RecipeFile(path=key, content=repository.gpgkey))
        files.append(RecipeFile(path=f"{_PREFIX}{repository.repository}.repo", content=_text(repository, key)))
    return tuple(files)


def is_repository(path: str) -> bool:
    """Whether a file of a recipe is one that ``repository_files`` gave."""
    return path.startswith(_PREFIX)


def repository_notes(system: Os) -> tuple[str, ...]:
    """What the evidence says of them: whence packages came, and whether they were verified."""
    return tuple(
        f"packages from {repository.baseurl}: "
        + (
            f"not verified, accepted: {repository.unsigned}"
            if repository.unsigned
            else "verified with the key that the system's definition names"
        )
        for repository in system.repositories
    )


def _text(repository: Repository, key: str) -> str:
    name = f"harness-{repository.repository}"
    check = f"gpgcheck=1\ngpgkey=file://{key}\n" if key else "gpgcheck=0\n"
    return f"[{name}]\nname={name}\nbaseurl={repository.baseurl}\nenabled=1\nskip_if_unavailable=0\n{check}"
