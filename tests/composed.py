"""What a center's compose file needs where there is no registry: images of packages, and a compose of Debian 13.

The image ``lab`` is both: PostgreSQL behind an entry that keeps what is asked of the official image's
(``POSTGRES_USER``, ``POSTGRES_DB``, ``POSTGRES_PASSWORD_FILE``, ``POSTGRES_INITDB_ARGS``, the place of the data), and
compose 2.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.images import BaseImages
from tests.labs import Notes, system

ROOT = Path(__file__).parents[1]
SYSTEM, PYTHON = "debian-13", "3.13"
SOCKET = "/var/run/docker.sock"
PACKAGES = "postgresql docker-compose docker-cli"
LAB = f"""\
ARG BASE
FROM ${{BASE}}
RUN apt-get -q update >/dev/null && apt-get -q -y install --no-install-recommends {PACKAGES} >/dev/null
COPY entry /entry
CMD ["bash", "/entry"]
"""
ENTRY = """\
set -eu
export PGDATA=/var/lib/postgresql/data PATH="$(ls -d /usr/lib/postgresql/*/bin):$PATH"
as() { setpriv --reuid postgres --regid postgres --clear-groups "$@"; }
chown postgres "$PGDATA" /var/run/postgresql
chmod 700 "$PGDATA"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    cat "$POSTGRES_PASSWORD_FILE" >/tmp/password
    chown postgres /tmp/password
    as initdb -U "$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust $POSTGRES_INITDB_ARGS
    rm /tmp/password
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    as pg_ctl -D "$PGDATA" -w -o "-c listen_addresses=''" start
    as createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
    as pg_ctl -D "$PGDATA" -w -m fast stop
fi
exec setpriv --reuid postgres --regid postgres --clear-groups postgres -c listen_addresses='*'
"""


def base_image() -> str:
    """Name of the base image of everything here, built of packages where it is missing."""
    return BaseImages(Engine("composed"), cache_folder()).ensure(system(SYSTEM), "x86_64", Notes()).name


def build(context: Path, tag: str, *words: str) -> None:
    """By the builder that every engine has; steps that were done before are taken from its cache."""
    done = subprocess.run(
        ["docker", "build", "--network", "host", "--tag", tag, *words, str(context)],
        env=os.environ | {"DOCKER_BUILDKIT": "0"},
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def lab_image(folder: Path, base: str) -> str:
    """Build the image ``lab``; gives its name."""
    folder.mkdir()
    (folder / "Dockerfile").write_text(LAB)
    (folder / "entry").write_text(ENTRY)
    build(folder, name := "harness-composed-lab:1", "--build-arg", f"BASE={base}")
    return name


def checkout(folder: Path) -> Path:
    """A copy of the tree as a clean clone has it, with wheels for a build without a network; gives it.

    pip on this machine fetches them, by its own settings, for the Python of the base image.
    """
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    for name in (name for name in names if name and (ROOT / name).is_file()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    center = folder / "setup" / "center"
    shutil.copytree(fetched(), center / "wheels")
    (center / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /src/setup/center/wheels\n")
    return folder


def fetched() -> Path:
    """The wheels of the lock, kept in the cache for the next time."""
    lock = ROOT / "setup" / "python.lock"
    place = cache_folder() / "test-wheels" / hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    if not place.is_dir():
        part = place.with_name(f".{place.name}")
        words = ["--no-deps", "--only-binary", ":all:", "--python-version", PYTHON, "--require-hashes"]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", *words, "-r", str(lock), "-d", str(part)],
            capture_output=True,
            text=True,
            timeout=3600,
            check=True,
        )
        part.rename(place)
    return place


class Composed:
    """A project of compose 2, which runs in a container beside the engine; paths are the same in it as here."""

    def __init__(self, tree: Path, shown: Path, lab: str, environment: Mapping[str, str]) -> None:
        self.project = f"harness-composed-{secrets.token_hex(4)}"
        self.tree, self.shown, self.lab, self.environment = tree, shown, lab, dict(environment)

    def run(self, *words: str, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """``docker compose WORD …`` of the project."""
        variables = [word for name, value in self.environment.items() for word in ("--env", f"{name}={value}")]
        file = str(self.tree / "setup" / "center" / "compose.yaml")
        mounts = ["-v", f"{SOCKET}:{SOCKET}", "-v", f"{self.shown}:{self.shown}"]
        before = ["docker", "run", "--rm", "--network", "none", *mounts, *variables, self.lab]
        return subprocess.run(
            [*before, "docker", "compose", "--project-name", self.project, "--file", file, *words],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def demand(self, *words: str, timeout: float = 900) -> str:
        """The output of such a command, which succeeds."""
        done = self.run(*words, timeout=timeout)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout

    def objects(self) -> dict[str, list[str]]:
        """What the engine has of the project, by kind."""
        label = f"label=com.docker.compose.project={self.project}"
        kinds = {"container": ["ps", "-aq"], "volume": ["volume", "ls", "-q"], "network": ["network", "ls", "-q"]}
        return {
            kind: subprocess.run(
                ["docker", *words, "--filter", label], capture_output=True, text=True, check=True
            ).stdout.split()
            for kind, words in kinds.items()
        }
