"""What is said of an inventory that is wrong, and of hosts without a connection."""

from __future__ import annotations

import json
from pathlib import Path

import paramiko
import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli.entry import cli
from harness.errors import DefinitionError, InfrastructureError, UsageError
from harness.hosts.inventory import HostUnreachable, _errors
from harness.model.definitions import Host, Hosts
from harness.reading.parsing import parse

HOST = {"host": "lab", "address": "192.0.2.1", "labels": {"cpu": "x86-64"}}
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x4FFF), min_size=8, max_size=30).filter(
    lambda text: not text.startswith(("env:", "file:"))
)


def faults(path: Path, *hosts: object) -> str:
    path.write_text(yaml.safe_dump({"hosts": list(hosts)}, allow_unicode=True))
    with pytest.raises(DefinitionError) as error:
        parse(path, Hosts)
    return str(error.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=30)
@given(secret=TEXT)
@pytest.mark.parametrize("key", ["password", "passphrase", "key"])
def test_a_secret_in_an_inventory_is_refused_once_and_not_repeated(tmp_path: Path, key: str, secret: str) -> None:
    secret = f"§{secret}"  # drawn text alone may be a part of the message's own words
    said = faults(tmp_path / "hosts.yaml", {**HOST, key: secret})
    assert secret not in said
    assert said.count("hosts.yaml:") == 1, "no second fault follows from the first"
    assert "env:NAME or file:PATH" in said


def test_other_faults_of_a_host_do_not_repeat_its_secret(tmp_path: Path) -> None:
    """A fault of the whole host shows what was found: all of its keys."""
    both = {**HOST, "key": "env:LAB", "password": "env:hunter2"}
    said = faults(tmp_path / "hosts.yaml", both)
    assert "give one of key and password" in said
    assert "hunter2" not in said
    assert "hunter2" not in faults(tmp_path / "hosts.yaml", {**HOST, "password": ["hunter2"]})
    assert "hunter2" not in faults(tmp_path / "hosts.yaml", {**HOST, "password": {"is": "hunter2"}})


def test_an_inventory_without_hosts_is_still_refused(tmp_path: Path) -> None:
    assert "at least 1 item" in faults(tmp_path / "hosts.yaml")


@pytest.mark.parametrize(
    ("words", "comes_back"),
    [
        ("Authentication failed: transport shut down or saw EOF", True),
        ("Authentication timeout.", True),
        ("Authentication failed.", False),
    ],
)
def test_a_login_that_is_cut_off_was_not_refused(words: str, comes_back: bool) -> None:
    """A connection that ends in the middle of a login is made again; a refusal would be the same again."""
    host = Host(host="lab", address="192.0.2.1", key="env:KEY", labels={})
    with pytest.raises(InfrastructureError) as error, _errors(host):
        raise paramiko.AuthenticationException(words)
    assert isinstance(error.value, HostUnreachable) is comes_back


def test_this_machine_is_listed_as_local(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yaml"
    here = {"host": "here", "connection": "local", "labels": {"cpu": "x86-64"}}
    path.write_text(yaml.safe_dump({"hosts": [here, HOST]}))
    done = CliRunner().invoke(cli, ["hosts", "list", "--hosts", str(path), "--format", "json"])
    listed = {host["host"]: (host["address"], host["key_known"]) for host in json.loads(done.output)["hosts"]}
    assert listed == {"here": ("local", None), "lab": ("root@192.0.2.1:22", False)}
    shown = CliRunner().invoke(cli, ["hosts", "list", "--hosts", str(path)])
    assert "root@:22" not in shown.output
    trusted = CliRunner().invoke(cli, ["hosts", "trust", "here", "--hosts", str(path)])
    assert isinstance(trusted.exception, UsageError)
    assert "is this machine" in trusted.exception.message
