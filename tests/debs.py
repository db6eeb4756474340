"""Real Debian packages of three architectures, from the mirror that this machine's apt uses; verified by apt."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from harness.campaigns.options import cache_folder
from harness.containers.mirror import Mirror

#: Architecture of Debian -> the suite that has it here.
SUITES = {"amd64": "bookworm", "arm64": "bookworm", "loong64": "forky"}
POWERDNS = ("pdns-server", "pdns-backend-pgsql", "pdns-backend-mysql", "pdns-backend-sqlite3")
#: Packages that are known to work on all three: programs, libraries with code for special CPUs, interpreters, servers.
KNOWN_GOOD = (
    *POWERDNS,
    "bash",
    "coreutils",
    "openssl",
    "zlib1g",
    "libgmp10",
    "libgcrypt20",
    "sqlite3",
    "nginx",
    "redis-server",
    "memcached",
    "haproxy",
    "postgresql-client-common",
    "mariadb-client-core",
    "curl",
    "git",
    "perl-base",
    "lua5.4",
    "tcl8.6",
    "libjemalloc2",
    "ffmpeg",
    "x264",
    "mosquitto",
    "unbound",
    "bind9-dnsutils",
    "rsync",
    "zstd",
    "xz-utils",
    "libopenblas0-pthread",
    "libnss3",
    "gawk",
)


def fetch(packages: Sequence[str], architectures: Sequence[str] = tuple(SUITES)) -> list[Path]:
    """Package files, kept in the cache; those that a suite lacks are left out."""
    mirror = Mirror.find()
    found: list[Path] = []
    for architecture in architectures:
        root = cache_folder() / "test-debs" / architecture
        if not (root / "lists-read").exists():
            _lists(root, architecture, mirror)
        keep = root / "debs"
        keep.mkdir(exist_ok=True)
        there = {path.name.partition("_")[0]: path for path in keep.glob("*.deb")}
        wanted = _candidates(root, [name for name in packages if name not in there])
        if wanted:
            subprocess.run(
                ["apt-get", "-q", *_options(root, architecture), "download", *wanted],
                cwd=keep,
                check=True,
                capture_output=True,
                timeout=600,
            )
            there = {path.name.partition("_")[0]: path for path in keep.glob("*.deb")}
        found += [there[name] for name in packages if name in there]
    return found


def _options(root: Path, architecture: str) -> list[str]:
    return [
        f"-oDir={root}",
        f"-oDir::State::status={root}/status",
        f"-oDir::Etc::SourceList={root}/sources.list",
        "-oDir::Etc::SourceParts=-",
        "-oDir::Etc::TrustedParts=-",
        "-oDir::Etc::Main=-",
        "-oDir::Etc::Parts=-",
        f"-oAPT::Architecture={architecture}",
        f"-oAPT::Architectures={architecture}",
        "-oAPT::Sandbox::User=root",
        "-oAcquire::Check-Valid-Until=false",
        "-oAcquire::Languages=none",
        "-oAcquire::Retries=3",
    ]


def _lists(root: Path, architecture: str, mirror: Mirror) -> None:
    for folder in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "etc/apt"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "status").touch()
    (root / "sources.list").write_text(mirror.source(SUITES[architecture]) + "\n")
    proxy = [f"-oAcquire::http::Proxy={mirror.proxy}"] if mirror.proxy else []
    subprocess.run(
        ["apt-get", "-q", *_options(root, architecture), *proxy, "update"], check=True, capture_output=True, timeout=600
    )
    (root / "lists-read").touch()


def _candidates(root: Path, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that the suite has for this architecture."""
    told = subprocess.run(
        ["apt-cache", *_options(root, root.name), "policy", *names],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    ).stdout
    found: dict[str, str] = {}
    name = ""
    for line in told.splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":").partition(":")[0]
        elif line.strip().startswith("Candidate:"):
            found[name] = line.split()[1]
    return [one for one in names if found.get(one, "(none)") != "(none)"]
