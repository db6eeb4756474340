"""What a step of a deployment observed where it passed, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from harness.control.deployment import Deployment
from harness.model.definitions import Application, SchemaStep
from harness.model.recipe import PackageFact
from harness.model.records import AttestedFact

#: Names that are spelled out; the record has all.
NAMED = 8


def observed(step: str, deployment: Deployment) -> str:
    """The words of a step that passed; empty for a step whose figures say all."""
    words = _WORDS.get(step)
    return words(deployment) if words is not None else ""


def listed(names: tuple[str, ...] | list[str]) -> str:
    """The first of some names, and how many more there are."""
    more = f" (+{len(names) - NAMED})" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def installed(packages: Iterable[PackageFact], application: Application) -> str:
    """The words of an installation that succeeded: the product's packages with their versions, and its files."""
    names = [f"{package.name} {package.version}" for package in packages if package.came_for(application.packages)]
    files = [artifact.to or artifact.path for artifact in application.artifacts]
    parts = [
        f"{word} {listed(shown)}" for shown, word in ((names, "packages 软件包:"), (files, "files 文件:")) if shown
    ]
    return "; ".join(parts) or "the application declares neither packages nor files / 产品未声明软件包与文件"


def attested(facts: Iterable[AttestedFact], machine: str) -> str:
    """What was observed of a server: its version, its settings."""
    return "; ".join(f"{fact.name}: {fact.observed}" for fact in facts if fact.machine == machine and fact.observed)


def _configured(deployment: Deployment) -> str:
    application = deployment.context.application
    paths = [template.path for template in application.templates]
    books = [playbook.playbook for playbook in application.playbooks]
    if not paths and not books:
        return "the application declares no template and no playbook / 产品未声明模板与剧本"
    return "; ".join(
        words
        for names, words in (
            (paths, f"written: {listed(paths)} / 已写入"),
            (books, f"playbooks that ran: {listed(books)} / 已运行剧本"),
        )
        if names
    )


def _schema(deployment: Deployment) -> str:
    context = deployment.context
    steps = context.application.schema_steps.get(context.database.database, ())
    return f"accepted by the database: {listed([_named(step) for step in steps])} / 数据库已接受"


def _named(step: SchemaStep) -> str:
    """A step of a schema in a few words."""
    if step.file is not None:
        return step.file
    return " ".join((step.command or step.sql or "").split())[:60]


def _started(deployment: Deployment) -> str:
    application = deployment.context.application
    names = [service.service for service in application.services]
    if names:
        return f"services that run: {listed(names)} / 服务已运行"
    return "a process of the product runs / 产品进程已运行"


def _ready(deployment: Deployment) -> str:
    return deployment.last_answer


def _upgraded(deployment: Deployment) -> str:
    return f"the steps to version {deployment.context.application.version} succeeded / 升级步骤均成功"


def _kept(_: Deployment) -> str:
    return "the text that the former version stored was read / 已读回旧版本写入的文本"


def _rolled_back(_: Deployment) -> str:
    return "the former version served with the data, and was upgraded again / 回退后旧版本可用且数据保留，并已再次升级"


def _stayed(_: Deployment) -> str:
    return (
        "from the first start to the end of the cell, each end of the product was asked for"
        " / 自首次启动至单元结束，产品的每次结束均由测试发起"
    )


_WORDS: Mapping[str, Callable[[Deployment], str]] = {
    "configure": _configured,
    "schema": _schema,
    "start": _started,
    "ready": _ready,
    "stays": _stayed,
    "upgrade": _upgraded,
    "kept": _kept,
    "rollback": _rolled_back,
}
