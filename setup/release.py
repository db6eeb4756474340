"""Makes a release in ``dist/``: wheel and sdist, built twice and compared; a list of parts (CycloneDX); checksums.

    python setup/release.py [FOLDER]

The vulnerabilities that are known of the locked packages are asked for last. Where no answer comes, that is said, and
ends with 0. Exit 1: two builds differ, the list of parts is not whole, or a vulnerability is known.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
#: Time of every file in what is built, unless the caller names one: 2026-01-01.
EPOCH = "1767225600"
LOCK = ROOT / "setup" / "python.lock"


def built(tree: Path, out: Path, *, umask: int) -> dict[str, str]:
    """Build a copy of ``tree`` into ``out``; name -> SHA-256 of wheel and sdist."""
    with tempfile.TemporaryDirectory(prefix="harness-release-") as scratch:
        copy = Path(scratch) / "tree"
        before = os.umask(umask)
        try:
            names = subprocess.run(
                ["git", "ls-files", "-z"], cwd=tree, capture_output=True, text=True, check=True
            ).stdout.split("\0")
            for name in filter(None, names):
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(tree / name, copy / name)
                shutil.copymode(tree / name, copy / name)
            subprocess.run(
                [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)],
                env={**os.environ, "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH", EPOCH)},
                stdout=subprocess.DEVNULL,
                check=True,
            )
        finally:
            os.umask(before)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.iterdir())}


def sbom(out: Path) -> None:
    """The parts that a locked installation has, as CycloneDX JSON; the same for the same lock."""
    subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "requirements", str(LOCK)),
            *("--pyproject", str(ROOT / "pyproject.toml"), "--output-format", "JSON", "--output-reproducible"),
            *("--output-file", str(out)),
        ],
        stderr=subprocess.DEVNULL,
        check=True,
    )


def lacking(parts: str, lock: str) -> list[str]:
    """Packages of a lock file that a list of parts (CycloneDX JSON) lacks, or has in another version or without a
    SHA-256."""
    locked = re.findall(r"(?m)^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^ ;\\]+)", lock)
    known = {
        (part["name"], part.get("version"))
        for part in json.loads(parts).get("components", ())
        if any(reference.get("hashes") for reference in part.get("externalReferences", ()))
    }
    return sorted(f"{name}=={version}" for name, version in set(locked) - known)


def audit() -> int:
    """Ask for known vulnerabilities of the locked packages: 0 none, or it could not be checked; 1 some."""
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--disable-pip", "--require-hashes"),
            *("--format", "json", "--progress-spinner", "off", "--timeout", "15"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    told, code = verdict(answer.stdout, answer.stderr)
    print(f"audit: {told}", file=sys.stderr if code else sys.stdout)
    return code


def verdict(out: str, err: str) -> tuple[str, int]:
    """What an answer of pip-audit (JSON) means, and the exit code. A package that its index does not know is none that
    nothing is known of: pip-audit passes over it, and ends well."""
    try:
        packages = json.loads(out)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return f"could not check, there is no answer: {(err.strip().splitlines() or ['no words'])[-1][:200]}", 0
    known = [f"{p['name']} {p['version']}: {v['id']}" for p in packages for v in p.get("vulns", ())]
    skipped = [p["name"] for p in packages if "skip_reason" in p]
    unseen = f"; could not check {len(skipped)} of {len(packages)} packages" if skipped else ""
    if known:
        return f"known vulnerabilities: {', '.join(known)}{unseen}. Next: make lock UPGRADE=--upgrade, and test", 1
    if skipped or not packages:
        return (
            f"could not check {len(skipped)} of {len(packages)} packages: {', '.join(skipped[:5]) or 'none named'}",
            0,
        )
    return f"no vulnerability is known of {len(packages)} locked packages", 0


def main(out: Path) -> int:
    """Build, compare, list, sum, ask."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        print(f"release: {out} is not empty. Next: name another folder.", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="harness-release-") as second:
        sums, again = built(ROOT, out, umask=0o022), built(ROOT, Path(second), umask=0o077)
    if sums != again:
        print(f"release: two builds of one tree differ: {sums} and {again}", file=sys.stderr)
        return 1
    sbom(out / "sbom.cdx.json")
    if lost := lacking((out / "sbom.cdx.json").read_text(encoding="utf-8"), LOCK.read_text(encoding="utf-8")):
        print(f"release: the list of parts lacks {', '.join(lost)}", file=sys.stderr)
        return 1
    sums["sbom.cdx.json"] = hashlib.sha256((out / "sbom.cdx.json").read_bytes()).hexdigest()
    (out / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    print("".join(f"written: {out / name} {digest}\n" for name, digest in sorted(sums.items())), end="")
    return audit()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "dist"))
