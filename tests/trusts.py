"""Trust for tests: files that bind the keys of a folder to an issuer, and both verifiers over them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness.signing.keys import PublicKey, trusted
from harness.signing.trust import Binding, Trust, write_trust

SCRIPT = Path(__file__).parents[1] / "reports" / "verify.sh"
#: The issuer of the shipped profile ``self-test``.
SELF_TEST = "Self-test (not confirmed by an adaptation center)"


def binding(key: PublicKey, issuer: str = SELF_TEST, **more: object) -> Binding:
    roles = ("sign", "log") if key.algorithm == "ed25519" else ("sign",)
    bound = Binding(key=replace(key, name=issuer), issuer=issuer, roles=roles)
    return replace(bound, **more)  # type: ignore[arg-type]


def trust_in(keys: Path, issuer: str = SELF_TEST, names: Sequence[str] = ()) -> Trust:
    """The public keys of a folder, or those of these names, bound to an issuer."""
    return Trust(tuple(binding(key, issuer) for key in trusted([keys]) if not names or key.name in names))


def trust_file(path: Path, trust: Trust) -> Path:
    write_trust(path, trust)
    return path


def shell(folder: Path, trust: Path, *more: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """``verify.sh`` of the source tree, never that of a folder."""
    return subprocess.run(
        ["sh", str(SCRIPT), str(folder), str(trust), *map(str, more)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], **environment},
    )
