"""Connection plugin of Ansible: commands and files go the way that the harness reaches the machine.

So a playbook runs alike on containers, virtual machines and lab hosts, with the harness's limits and strict host keys.
Ansible loads this file by its path; the harness never imports it. Licence of this file: Apache-2.0.
"""

from __future__ import annotations

import os
from pathlib import Path

from ansible.errors import AnsibleConnectionFailure, AnsibleFileNotFound
from ansible.plugins.connection import ConnectionBase

from harness.errors import HarnessError
from harness.machines.opening import open_machine
from harness.model.machine import Machine, MachineReference

DOCUMENTATION = """
name: harness_machine
short_description: a machine of a cell
description: The way by which the harness reaches a machine of a cell.
author: xinchuang-harness
options: {}
"""
SECONDS = 1800


class Connection(ConnectionBase):  # type: ignore[misc]
    """https://docs.ansible.com/ansible-core/devel/dev_guide/developing_plugins.html#connection-plugins"""

    transport = "harness_machine"
    has_pipelining = True
    _machine: Machine | None = None

    def _connect(self) -> Connection:
        if self._machine is None:
            text = Path(os.environ["HARNESS_MACHINE"]).read_text()
            self._machine = open_machine(MachineReference.model_validate_json(text))
            self._connected = True
        return self

    @property
    def machine(self) -> Machine:
        """The machine, opened when it is first asked for."""
        self._connect()
        assert self._machine is not None
        return self._machine

    def exec_command(self, cmd: str, in_data: bytes | None = None, sudoable: bool = True) -> tuple[int, bytes, bytes]:  # noqa: FBT001, FBT002
        """Run a command there; gives its exit status, output and error output.

        Raises:
            AnsibleConnectionFailure: the machine does not answer.
        """
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        try:
            completed = self.machine.run(
                cmd, timeout=SECONDS, stdin=(in_data or b"").decode("utf-8", "surrogateescape")
            )
        except HarnessError as error:
            raise AnsibleConnectionFailure(f"HARNESS-INFRASTRUCTURE {error}") from error
        return completed.rc, completed.out.encode(), completed.err.encode()

    def put_file(self, in_path: str, out_path: str) -> None:
        """Bring a file there.

        Raises:
            AnsibleConnectionFailure: the machine does not answer.
        """
        super().put_file(in_path, out_path)
        try:
            self.machine.put(out_path, Path(in_path).read_bytes(), mode="0700")
        except HarnessError as error:
            raise AnsibleConnectionFailure(f"HARNESS-INFRASTRUCTURE {error}") from error

    def fetch_file(self, in_path: str, out_path: str) -> None:
        """Bring a file from there.

        Raises:
            AnsibleFileNotFound: there is none.
            AnsibleConnectionFailure: the machine does not answer.
        """
        super().fetch_file(in_path, out_path)
        try:
            Path(out_path).write_bytes(self.machine.get(in_path))
        except FileNotFoundError as error:
            raise AnsibleFileNotFound(f"no such file: {in_path}") from error
        except HarnessError as error:
            raise AnsibleConnectionFailure(f"HARNESS-INFRASTRUCTURE {error}") from error

    def close(self) -> None:
        """Let go of the machine."""
        if self._machine is not None:
            self._machine.close()
        self._machine, self._connected = None, False
