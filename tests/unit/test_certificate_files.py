"""Files that http.tls names: what is no certificate, no key, or does not fit together is a fault with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from harness.errors import DefinitionError
from harness.reading.read import read
from tests.certificates import Authority, private_key
from tests.products import WEB, product


def written(root: Path, tls: dict[str, Any], **files: bytes) -> Path:
    folder = product(root, {**WEB, "http": {"port": "web", "tls": tls}})
    for name, content in files.items():
        (folder / f"{name}.pem").write_bytes(content)
    return folder


@pytest.fixture
def pem(tmp_path: Path) -> dict[str, bytes]:
    authority = Authority(tmp_path / "authority")
    return {
        "ca": authority.file.read_bytes(),
        "client": authority.certificate("client", "client").read_bytes(),
        "key": private_key(),
        "other": private_key(ec.generate_private_key(ec.SECP256R1())),
    }


CLIENT = {"certificate": "client.pem", "key": "key.pem"}


def test_good_files_are_part_of_the_plan(tmp_path: Path, pem: dict[str, bytes]) -> None:
    tls = {"authority": {"file": "ca.pem"}, "client": CLIENT}
    definitions = read(written(tmp_path / "p", tls, **pem))
    assert {"ca.pem", "client.pem", "key.pem"} <= definitions.files.keys()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("ca", b"no certificate", "holds no certificate that can be read"),
        ("ca", b"", "holds no certificate that can be read"),
        ("client", b"\xff\xfe", "holds no certificate that can be read"),
        ("key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "holds no key that can be read"),
        ("key", "other", "the key is of another certificate"),
    ],
)
def test_what_is_no_good_is_said_with_its_place(
    tmp_path: Path, pem: dict[str, bytes], name: str, content: bytes | str, words: str
) -> None:
    bad = pem[content] if isinstance(content, str) else content
    tls = {"authority": {"file": "ca.pem"}, "client": CLIENT}
    with pytest.raises(DefinitionError) as refused:
        read(written(tmp_path / "p", tls, **{**pem, name: bad}))
    assert words in str(refused.value)
    assert "application.yaml:" in str(refused.value)


def test_a_missing_file_and_names_that_nothing_gives_are_faults(tmp_path: Path, pem: dict[str, bytes]) -> None:
    with pytest.raises(DefinitionError, match="no such file"):
        read(written(tmp_path / "p", {"authority": {"file": "absent.pem"}}))
    folder = written(tmp_path / "q", {"authority": {"file": "ca.pem"}}, **pem)
    text = (folder / "application.yaml").read_text()
    (folder / "application.yaml").write_text(text + "environment: {KEY: '{{ tls.key }}'}\n")
    with pytest.raises(DefinitionError, match=r"tls has no key"):
        read(folder)
    (folder / "application.yaml").write_text(
        text.replace("file: ca.pem", "cell: true") + "environment: {KEY: '{{ tls.key }}'}\n"
    )
    read(folder)
