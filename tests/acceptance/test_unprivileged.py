"""What needs root is a short list (guide, section on limits); everything else runs as anybody."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ran, command
from tests.products import WEB, product

NOBODY = 65534
#: Another user, in no group, without any way back; it may read this checkout, wherever that lies, and ask no engine.
DROP = (
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
    *(
        "--inh-caps=-all,+dac_read_search",
        "--ambient-caps=-all,+dac_read_search",
        "--bounding-set=-all,+dac_read_search",
    ),
)
Anybody = Callable[..., Ran]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished campaign, handed over to another user."""
    root = tmp_path_factory.mktemp("unprivileged")
    product(root / "p", WEB)
    subprocess.run(command("run", "p"), cwd=root, check=True, capture_output=True)
    (root / "home").mkdir()
    for folder in (root, *root.rglob("*")):
        os.chown(folder, NOBODY, NOBODY, follow_symlinks=False)
    return root


@pytest.fixture
def anybody(place: Path) -> Anybody:
    def run(*arguments: str) -> Ran:
        done = subprocess.run(
            [*DROP, *command(*arguments)],
            cwd=place,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env={
                **os.environ,
                "HOME": str(place / "home"),
                "XDG_CACHE_HOME": str(place / "home/cache"),
                "XDG_CONFIG_HOME": str(place / "home/config"),
                "HARNESS_PASSPHRASE": "words of a test",
                "DOCKER_HOST": "unix:///nowhere",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
        )
        return Ran.of(done)

    return run


def test_the_user_of_these_tests_can_write_nothing_of_root(place: Path) -> None:
    done = subprocess.run([*DROP, "sh", "-c", "id -u; touch /etc/x || echo refused"], capture_output=True, text=True)
    assert done.stdout.split() == [str(NOBODY), "refused"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["init", "fresh"],
        ["lint", "p"],
        ["plan", "p"],
        ["plan", "p", "--lock"],
        ["schema", "matrix"],
        ["scan", "p"],
        ["list"],
        ["status"],
        ["show"],
        ["report"],
        ["verify"],
        ["gate"],
        ["flaky"],
        ["export", "xlsx", "--out", "cases.xlsx"],
        ["bundle", "--out", "b.tar"],
        ["targets", "list"],
        ["suites"],
        ["keys", "list"],
    ],
    ids=" ".join,
)
def test_it_needs_no_root(anybody: Anybody, arguments: list[str]) -> None:
    ran = anybody(*arguments)
    assert ran.code == 0, ran.err


def test_a_certificate_is_signed_and_verified_without_root(anybody: Anybody, place: Path) -> None:
    assert anybody("keys", "new", "log").code == 0
    signed = anybody("certify", "--key", "log", "--register", "register")
    assert signed.code == 0, signed.err
    (campaign,) = [path.name for path in (place / ".harness/campaigns").iterdir()]
    folder = str(Path(".harness/campaigns") / campaign)
    public = "home/config/xinchuang-harness/keys/log.pub.pem"
    assert anybody("trust", "add", "Self-test (not confirmed by an adaptation center)", public).code == 0
    verified = anybody("verify", folder, "--register", "register")
    assert verified.code == 0, verified.out + verified.err
    assert anybody("bundle", "--sign", "log", "--out", "signed.tar").code == 0
    assert anybody("diff", campaign, campaign).code == 0


def test_a_target_needs_the_engine_and_says_so(anybody: Anybody, place: Path) -> None:
    shutil.rmtree(place / "w", ignore_errors=True)
    ran = anybody("run", "p", "--workspace", "w", "--trust-code")  # bubblewrap takes no user with a capability
    assert ran.code == 3
    assert "Docker" in ran.err or "engine" in ran.err
