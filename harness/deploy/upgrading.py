"""Steps between two versions of a product on one machine: fill, switch, look, and back and forth again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from harness.attest.versions import states
from harness.clients.opening import open_resource
from harness.clients.resource import ProductResource
from harness.control.deployment import Deployment
from harness.control.fault import ProductFault
from harness.deploy.reaching import repositories
from harness.deploy.steps import configure, start
from harness.model.definitions import Former, Os
from harness.model.ledger import Ledger
from harness.model.recipe import PackageFact, Recipe
from harness.model.templating import render
from harness.provision.installing import InstallFailed, explained, install_over

TEXT = "kept over an upgrade 升级后保留"
STEP_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a product: its control, and what is installed for it over the other version."""

    control: Deployment
    recipe: Recipe
    os: Os
    ledger: Ledger

    def install(self, *, downgrade: bool) -> list[PackageFact]:
        """Put the files of this version over those of the other; gives its packages.

        Raises:
            InstallFailed: something does not install.
        """
        machine, name = self.control.machine, self.control.context.application.version
        with self.control.outlet() as refused:
            try:
                packages = install_over(
                    machine, self.recipe, self.os, self.ledger, downgrade=downgrade, cancel=self.control.cancel
                )
            except InstallFailed as error:
                raise explained(error, refused) from error
        self.ledger.event("installed-over", version=name, packages=[vars(package) for package in packages])
        return packages


def fill(control: Deployment) -> tuple[str, ...]:
    """Make data, where the product declares a resource; gives the keys.

    Raises:
        ProductFault: it does not take it.
    """
    with _resource(control) as resource:
        if resource is None:
            return ()
        key = resource.fresh_key()
        resource.create(key, TEXT)
        return (key,)


def switch(control: Deployment, commands: tuple[str, ...]) -> None:
    """Bring a stopped product to the version whose files are there now: configuration, commands.

    Raises:
        ProductFault: a command fails, or it says that it is another version.
        UsageError: a command fails, and asked for what a machine may not reach.
    """
    application, context = control.context.application, control.context
    configure(control)
    if commands:
        with repositories(control):
            _run_all(control, commands)
    if application.version_command is None:
        return
    printed = control.machine.run(application.version_command, timeout=60 * context.factor).text.strip()
    if not states(printed, application.version):
        raise ProductFault(
            f"version {application.version} was installed, and it says {printed[:120] or 'nothing'}",
            f"已安装版本 {application.version}，但其报告为 {printed[:120] or '（无）'}",
        )


def _run_all(control: Deployment, commands: tuple[str, ...]) -> None:
    application, context = control.context.application, control.context
    for command in commands:
        line = render(command, context.values(), where="former")
        completed = control.machine.run(line, timeout=STEP_SECONDS * context.factor)
        if not completed.ok:
            raise ProductFault(
                f"a step to version {application.version} failed (exit {completed.rc}): {line[:120]}",
                f"切换到版本 {application.version} 的步骤失败（状态码 {completed.rc}）：{line[:120]}",
                completed.text[-1500:],
            )


def has_data(control: Deployment, keys: tuple[str, ...]) -> None:
    """Demand what the former version stored.

    Raises:
        ProductFault: it is not there.
    """
    version = control.context.application.version
    with _resource(control) as resource:
        for key in keys:
            if resource is not None and TEXT not in resource.texts(key):
                raise ProductFault(
                    f"version {version} gives other data than the former version stored",
                    f"版本 {version} 返回的数据与旧版本写入的不一致",
                )


def back_and_forth(former: Version, present: Version, how: Former, keys: tuple[str, ...]) -> None:
    """Roll back, look, and upgrade again.

    Raises:
        ProductFault: a step fails, or data are lost.
        InstallFailed: by the lab's fault or the definition's.
    """
    try:
        present.control.stop()
        former.install(downgrade=True)
        _serve(former, how.rollback or (), keys)
        former.control.stop()
        present.install(downgrade=False)
        _serve(present, how.upgrade, keys)
    except InstallFailed as failure:
        if failure.cause != "product":
            raise
        raise ProductFault(
            f"the way back fails: {failure.message}",
            f"回退安装失败：{failure.message}",
            "\n".join(failure.log.splitlines()[-25:]),
        ) from failure


def _serve(version: Version, commands: tuple[str, ...], keys: tuple[str, ...]) -> None:
    """Switch to a version, start it, and look for the data."""
    switch(version.control, commands)
    start(version.control)
    if version.control.context.application.serves:
        version.control.wait_ready()
    has_data(version.control, keys)


@contextlib.contextmanager
def _resource(control: Deployment) -> Iterator[ProductResource | None]:
    resource = open_resource(control)
    try:
        yield resource
    finally:
        if resource is not None:
            resource.close()
