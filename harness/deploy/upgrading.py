"""A cell that upgrades: the former version with data in it, then the one that is tested, and back and forth again."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from harness.attest.versions import states
from harness.clients.http import HttpClient, ResourceClient
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.deploy import configure, start
from harness.model.definitions import Application, Former
from harness.model.templating import render
from harness.provision.installing import InstallFailed

TEXT = "kept over an upgrade 升级后保留"
STEP_SECONDS = 600.0


@dataclass
class Upgrade:
    """Steps of deployment between two versions on one machine.

    ``install`` puts a version's files on it (``downgrade``: over those of a later one), and raises InstallFailed;
    ``deployment`` gives the control of a version.
    """

    former: Application
    product: Application
    how: Former
    install: Callable[[Application, bool], None]
    deployment: Callable[[Application], Deployment]
    keys: list[str] = field(default_factory=list)  #: of resources that were made by the former version

    def fill(self) -> None:
        """Make data with the former version, where the product declares a resource.

        Raises:
            ProductFault: it does not take it.
        """
        with self._resource(self.former) as resource:
            if resource is not None:
                key = resource.fresh_key()
                resource.create(key, TEXT)
                self.keys.append(key)

    def upgrade(self, _: Deployment) -> None:
        """From the former version, stopped, to the one under test: files, configuration, commands.

        Raises:
            ProductFault: a command fails, or it says that it is another version.
        """
        self._switch(self.product, self.how.upgrade)
        self._is_version(self.product)

    def kept(self, _: Deployment) -> None:
        """What the former version stored is there.

        Raises:
            ProductFault: it is not.
        """
        self._has_data(self.product)

    def back_and_forth(self, _: Deployment) -> None:
        """Roll back, look, and upgrade again. Raises as ``kept``."""
        try:
            self._back_and_forth()
        except InstallFailed as failure:
            if failure.cause != "product":
                raise
            raise ProductFault(
                f"the way back fails: {failure.message}",
                f"回退安装失败：{failure.message}",
                "\n".join(failure.log.splitlines()[-25:]),
            ) from failure

    def _back_and_forth(self) -> None:
        self.deployment(self.product).stop()
        self.install(self.former, True)
        self._switch(self.former, self.how.rollback or ())
        self._serve(self.former)
        self._is_version(self.former)
        self._has_data(self.former)
        self.deployment(self.former).stop()
        self.install(self.product, False)
        self._switch(self.product, self.how.upgrade)
        self._serve(self.product)
        self._is_version(self.product)
        self._has_data(self.product)

    def _switch(self, to: Application, commands: tuple[str, ...]) -> None:
        deployment = self.deployment(to)
        configure(deployment)
        for command in commands:
            line = render(command, deployment.context.values(), where="former")
            done = deployment.machine.run(line, timeout=STEP_SECONDS * deployment.context.factor)
            if not done.ok:
                raise ProductFault(
                    f"a step to version {to.version} failed (exit {done.rc}): {line[:120]}",
                    f"切换到版本 {to.version} 的步骤失败（状态码 {done.rc}）：{line[:120]}",
                    done.text[-1500:],
                )

    def _serve(self, what: Application) -> None:
        deployment = self.deployment(what)
        start(deployment)
        deployment.wait_ready()

    def _is_version(self, what: Application) -> None:
        if what.version_command is None:
            return
        deployment = self.deployment(what)
        printed = deployment.machine.run(what.version_command, timeout=60 * deployment.context.factor).text.strip()
        if not states(printed, what.version):
            raise ProductFault(
                f"version {what.version} was installed, and it says {printed[:120] or 'nothing'}",
                f"已安装版本 {what.version}，但其报告为 {printed[:120] or '（无）'}",
            )

    def _has_data(self, what: Application) -> None:
        with self._resource(what) as resource:
            for key in self.keys:
                if resource is not None and TEXT not in resource.texts(key):
                    raise ProductFault(
                        f"version {what.version} gives other data than the former version stored",
                        f"版本 {what.version} 返回的数据与旧版本写入的不一致",
                    )

    @contextlib.contextmanager
    def _resource(self, what: Application) -> Iterator[ResourceClient | None]:
        http = what.http
        if http is None or http.resource is None:
            yield None
            return
        client = HttpClient(self.deployment(what))
        try:
            yield client.resource
        finally:
            client.close()
