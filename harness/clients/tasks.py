"""Runs the declared tasks of a product on its machine, and looks at what they write."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.clients.comparing import Comparison, compare
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.errors import InfrastructureError
from harness.model.definitions import Output, Task
from harness.model.templating import render
from harness.system import shell

#: Folder of the machine below which each run has a folder of its own.
FOLDER = "/var/tmp/harness-tasks"  # noqa: S108  # of the cell's machine
#: Status of a command that was ended because its time was up; timeout(1).
_LATE = 124


@dataclass(frozen=True)
class Ran:
    """A run of a task: its status and seconds, and the folder in which its files lie."""

    task: Task
    folder: str
    status: int
    seconds: float


@dataclass
class TaskRunner:
    """Runs tasks; each run has a new folder, so that two at once do not meet."""

    deployment: Deployment
    _first: dict[str, Ran] = field(default_factory=dict)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """As they are declared."""
        return self.deployment.context.application.tasks

    def first_run(self, task: Task) -> Ran:
        """Its first run; it is run now where it was not.

        Raises:
            ProductFault: it does not end in time, or with another status than it should.
            InfrastructureError: the machine does not answer.
        """
        if task.task not in self._first:
            self._first[task.task] = self.run(task)
        return self._first[task.task]

    def run(self, task: Task, name: str = "", further: Mapping[str, str] | None = None) -> Ran:
        """Run it in a new folder whose last part begins with ``name``, with ``further`` variables of the environment.
        Raises as ``first_run``."""
        context, machine = self.deployment.context, self.deployment.machine
        folder = f"{FOLDER}/{name or task.task}-{secrets.token_hex(4)}"
        user = context.application.user
        self._demand(f"mkdir -p {shell.quote(folder)} && chown {shell.quote(user)} {shell.quote(folder)}")
        for path in task.files:
            data = (context.template_folder / path).read_bytes()
            machine.put(f"{folder}/{path.rpartition('/')[2]}", data, owner=user)
        values = context.values()
        variables = {
            key: render(value, values, where="environment") for key, value in context.application.environment.items()
        }
        variables |= further or {}
        command = render(task.command, values, where=f"tasks.{task.task}.command")
        limit = task.seconds * context.factor
        answer = machine.run(
            f"cd {shell.quote(folder)} || exit 255\n{shell.exports(variables)}exec >stdout 2>stderr\n{command}\n",
            timeout=limit,
            user=user,
        )
        ran = Ran(task, folder, answer.rc, answer.seconds)
        if answer.rc in task.status:
            return ran
        said = self._tail(folder)
        if answer.rc == _LATE:
            words = f"task {task.task} did not end within {limit:.0f} s", f"任务 {task.task} 在 {limit:.0f} 秒内未结束"
            raise ProductFault(*words, said)
        if answer.rc > 128:
            raise self.deployment.ended(answer.rc, said)
        expected = ", ".join(map(str, task.status))
        raise ProductFault(
            f"task {task.task} ended with status {answer.rc}, expected {expected}",
            f"任务 {task.task} 以状态 {answer.rc} 结束，预期 {expected}",
            said,
        )

    def written(self, ran: Ran, output: Output) -> bytes:
        """What a run wrote. Raises as ``file``."""
        return self.file(ran, output.file)

    def file(self, ran: Ran, path: str) -> bytes:
        """What a run wrote into the file at ``path`` below its folder.

        Raises:
            ProductFault: there is no such file.
            InfrastructureError: the machine does not answer.
        """
        try:
            return self.deployment.machine.get(f"{ran.folder}/{path}")
        except FileNotFoundError:
            raise ProductFault(
                f"task {ran.task.task} wrote no file {path}",
                f"任务 {ran.task.task} 未生成文件 {path}",
                self._tail(ran.folder),
            ) from None

    def compared(self, ran: Ran, output: Output) -> Comparison:
        """An output of a run beside what is expected. Raises as ``written``, and SuiteError where that is no good."""
        expected = (self.deployment.context.template_folder / output.expected).read_bytes()
        return compare(output, self.written(ran, output), expected)

    def remove(self) -> None:
        """Take all folders away."""
        self._demand(f"rm -rf {FOLDER}")

    def _tail(self, folder: str) -> str:
        script = 'for f in stdout stderr; do echo "== $f"; tail -c 2000 "$f"; done 2>/dev/null'
        return self.deployment.machine.run(f"cd {shell.quote(folder)} && {script}", timeout=60).out

    def _demand(self, command: str) -> None:
        answer = self.deployment.machine.run(command, timeout=60 * self.deployment.context.factor)
        if not answer.ok:
            raise InfrastructureError(
                f"{self.deployment.machine.name}: {answer.text[-300:]}",
                advice="check the machine's disk, and that the product's user exists",
            )
