"""Life cycle of a deployed product, after the openEuler ISV cases: files, libraries, start, stop, recovery, removal.

A check whose command fails is an error of the laboratory or of the removal, never a pass: ``Installation`` demands a
proof from each of its commands that it looked at everything.
"""

from __future__ import annotations

import contextlib
import re

import pytest

from harness.attest.versions import states
from harness.control.changes import Changes
from harness.control.fault import ProductFault
from harness.control.several import CLEAN
from harness.model.definitions import Call
from harness.model.templating import render
from harness.presentation.terminal import terminal_picture
from harness.scan.elf import MACHINES, NoElf, read
from harness.scan.exports import exported_symbols
from harness.scan.limits import Unreadable

#: Whether a removal in this process came to its end: by then nothing of the product can be asked.
REMOVED = []


class Texts:
    """Texts that the product acknowledged; nothing is written where it declares no resource."""

    def __init__(self, resource):
        self.resource = resource
        self.kept = {}

    def write(self):
        """Have the product take a new text."""
        if self.resource is not None:
            key = self.resource.fresh_key()
            text = f"acknowledged {len(self.kept)} {key}"
            self.resource.create(key, text)
            self.kept[key] = text

    def lost(self):
        """Keys whose text does not come back."""
        return [key for key, text in self.kept.items() if text not in self.resource.try_texts(key)]

    def remove(self):
        """Delete what was written, as far as the product can."""
        for key in self.kept:
            self.resource.discard(key)


@pytest.fixture
def texts(request, target):
    written = Texts(request.getfixturevalue("resource") if target.application.has_resource else None)
    yield written
    # What matters was checked by then; a product that failed its test may not answer any more.
    with contextlib.suppress(ProductFault):
        written.remove()


@pytest.fixture
def stop(request, target):
    """Ends the product, where something of it runs at all."""
    return request.getfixturevalue("application").stop if target.application.serves else lambda: None


def test_installed_files(target, installation, host, keep, note):
    """Every package is installed, and no file differs from what its package says."""
    if not target.installed:
        files = [a.to for a in target.application.artifacts if a.to]
        if not files:
            pytest.skip("not-applicable: the application declares neither packages nor files on this machine")
        missing = [path for path in files if not host.file(path).exists]
        assert not missing, f"missing files: {', '.join(missing)}"
        note(f"{len(files)} declared files are there / 声明的 {len(files)} 个文件均存在")
        return
    state = installation.packages()
    keep("packages.txt", state.listed)
    assert state.listed, "the package manager knows none of the product's packages"
    assert not state.incomplete, f"not completely installed: {state.incomplete}"
    # A configuration file that the deployment wrote differs by intent.
    written = {t.path for t in target.application.templates} | {a.to for a in target.application.artifacts}
    differ = [line for line, path in state.changed if path not in written]
    # dpkg and rpm mark configuration files: who deploys a product changes them.
    configuration = [line for line in differ if re.match(r"\S+ +c +/", line)]
    changed = [line for line in differ if line not in configuration]
    assert not changed, "files differ from their packages:\n" + "\n".join(changed)
    note(
        f"{len(target.installed)} packages are installed completely, no file differs"
        f" / {len(target.installed)} 个软件包安装完整，文件未变"
    )
    if configuration:
        note(
            "changed configuration / 已修改的配置文件: "
            + "; ".join(line.split(" c ", 1)[1].strip() for line in configuration)
        )


def test_dependencies_resolve(target, installation, keep, measure, note):
    """``ldd -d -r`` finds every library and symbol of every ELF file of the product, all built for the target; or the
    running product has loaded them: it has search paths of its own, or is loaded by a program that has them."""
    linked = installation.linked()
    if not linked:
        pytest.skip("not-applicable: no file of the product is an ELF file (scripts, archives of a run-time, data)")
    keep("ldd.txt", "".join(f"== {file.path}\n{file.text}\n" for file in linked))
    measure("ELF files", len(linked), "1")
    own, foreign = [], []
    for file in linked:
        (own if MACHINES.get(file.machine, "").startswith(target.architecture) else foreign).append(file)
    # A product may bring the same library for several architectures, and load the right one.
    paired = {file.path.rpartition("/")[2] for file in own}
    wrong = [f for f in foreign if f.path.rpartition("/")[2] not in paired]
    assert not wrong, f"built for another architecture than {target.architecture}:\n" + "\n".join(
        f"{file.path}: {MACHINES.get(file.machine, f'machine {file.machine}')}" for file in wrong
    )
    missing = {file.path: set(file.missing) for file in own if file.missing}
    undefined = {file.path: file.undefined for file in own if file.undefined}
    versions = {file.path: file.versions for file in own if file.versions}
    loaded = installation.mapped(sorted(versions)) if versions else {}
    given_by_hosts(installation, missing, undefined)
    given_by_processes(installation, missing, undefined)
    missing = {path: names for path, names in missing.items() if names}
    undefined = {path: symbols for path, symbols in undefined.items() if symbols}
    hint = "\n(what the program that loads a library offers is counted if `plugins` of the application names both)"
    lines = [f"{path}: {', '.join(sorted(names))}" for path, names in missing.items()]
    assert not missing, f"libraries not found: {'; '.join(lines)}{hint}"
    assert not undefined, f"undefined symbols: { {path: sorted(s)[:10] for path, s in undefined.items()} }{hint}"
    # What a running process has loaded has its versions: from a library of the product's own.
    lines = [f"{path}: {', '.join(names)}" for path, names in versions.items() if not loaded.get(path)]
    assert not lines, f"versions of symbols that the target's libraries do not have: {'; '.join(lines)}"
    if unread := [file.path for file in own if not file.examined]:
        pytest.skip(
            f"capability: could not check: ldd says nothing of {', '.join(unread[:10])} (see ldd.txt) / 无法检查"
        )
    note(f"every library and symbol of {len(own)} files for {target.architecture} was found / 动态库与符号齐全")


def given_by_hosts(installation, missing, undefined):
    """Leave out what a plugin takes from the program that loads it, or from that program's own libraries: no fault."""
    for paths, program in installation.plugins():
        if not (missing.keys() | undefined.keys()) & set(paths):
            continue
        loaded = installation.libraries_of(program)
        names = {path.rpartition("/")[2] for path in loaded}
        wanted = set().union(*(undefined.get(path, set()) for path in paths))
        offered = set()
        for file in loaded:  # the program first: mostly it offers everything, and each file is copied from the machine
            if not wanted - offered:
                break
            offered |= exported_symbols(installation.machine.get(file))
        for path in paths:
            missing[path] = missing.get(path, set()) - names
            undefined[path] = undefined.get(path, set()) - offered


def given_by_processes(installation, missing, undefined):
    """Leave out what a running process that has loaded the file has loaded too: it was found there."""
    asked = sorted(path for path in missing.keys() | undefined.keys() if missing.get(path) or undefined.get(path))
    for path, files in installation.mapped(asked).items() if asked else ():
        lacking, unknown = set(missing.get(path, ())), set(undefined.get(path, ()))
        # Its name first: mostly a file is named as it is asked for, and each file is copied from the machine.
        names = {file.rpartition("/")[2] for file in files}
        lacking = {name for name in lacking if not any(n == name or n.startswith(f"{name}.") for n in names)}
        for file in sorted(files - {path}) if lacking or unknown else ():
            try:
                data = installation.machine.get(file)
            except FileNotFoundError:  # it was replaced since
                continue
            unknown -= exported_symbols(data)
            if lacking:
                with contextlib.suppress(NoElf, Unreadable):
                    lacking.discard(read(data).soname)
        missing[path], undefined[path] = lacking, unknown


def test_start_and_ready(application, measure, note):
    """From a stop to a good answer within the declared time."""
    application.stop()
    application.start()
    measure("time to ready", application.wait_ready(), "s")
    assert application.running(), "something answers, and the process that was started does not run"
    note(f"after its start it served: {application.last_answer or 'its readiness command succeeded'} / 启动后提供服务")


def test_restart(application, measure, note):
    """A restart leads to new processes that serve; so does that of each service, and the others run on."""
    before = application.pids()
    assert all(before), "the product answers, and no process of it is known before the restart"
    measure("time to ready after restart", application.restart(), "s")
    after = application.pids()
    assert all(after), "no process of the product is known after the restart"
    same = set(before) & set(after)
    assert not same, f"a process is still the one from before the restart: {sorted(same)}"
    note(f"processes before {sorted(before)}, after {sorted(after)} / 重启前后的进程号")
    for service in application.services:
        with alone(application, service):
            service.stop()
            service.start()
        measure(f"time to ready after restart of {service.name}", application.wait_ready(), "s")


def test_stop(application, installation, measure, note):
    """After the stop no process is left and no port of the product listens; so it is with each service."""
    for service in application.services:
        with alone(application, service):
            seconds, code = service.stop()
            measure(f"time to stop {service.name}", seconds, "s")
            left = service.left()
            assert not left, f"processes of service {service.name} left after its stop: {left}"
            ports = sorted(set(installation.remains()[1]) & set(service.ports))
            assert not ports, f"ports of service {service.name} still listening after its stop: {ports}"
            assert code in CLEAN, f"service {service.name} stopped with status {code}, which is not a clean end"
            service.start()
        application.wait_ready()
    seconds, code = application.stop()
    measure("time to stop", seconds, "s")
    left, ports = installation.remains()
    assert not left, f"processes left after the stop: {left}"
    assert not ports, f"ports still listening after the stop: {ports}"
    assert code in CLEAN, f"stopped with status {code}, which is not a clean end"
    note(f"ended with status {code}; no process and no port of it is left / 退出状态 {code}，无残留进程与端口")


def test_recovers_from_kill(application, texts, amount, measure, note):
    """SIGKILL again and again: each time new processes get ready, and what was acknowledged is still there. Then the
    same of each service, while the others run on."""
    # The number follows from profile and target alone: a certificate says the same on every machine of a lab.
    slowest, before, wanted = 0.0, application.pids(), amount("kills")
    for kills in range(1, wanted + 1):
        texts.write()
        application.kill()
        application.start()
        slowest = max(slowest, application.wait_ready())  # it raises where what was started has ended meanwhile
        after = application.pids()
        anew = 0 not in after and not set(before) & set(after)
        assert anew, (
            f"after kill {kills} something answers, and no new process of the product runs: one that was left behind "
            "answered"
        )
        before = after
        lost = texts.lost()
        assert not lost, f"after kill {kills} of {wanted}: texts that the product had acknowledged are lost: {lost}"
    for service in application.services:
        for kills in range(1, amount("service_kills") + 1):
            texts.write()
            with alone(application, service):
                service.kill()
                service.start()
            slowest = max(slowest, application.wait_ready())
            lost = texts.lost()
            assert not lost, (
                f"after kill {kills} of service {service.name}: texts that the product had acknowledged are lost: "
                f"{lost}"
            )
    measure("recoveries", wanted, "1")
    measure("slowest recovery", slowest, "s")
    measure("texts kept", len(texts.kept), "1")
    note(f"a new process served after each of {wanted} kills / {wanted} 次强制终止后均有新进程提供服务")


@contextlib.contextmanager
def alone(application, service):
    """Within it ``service`` ends and starts again: then it is a new process, and the others are what they were."""
    before = application.pids()
    yield
    names = [other.name for other in application.services]
    for name, old, new in zip(names, before, application.pids(), strict=True):
        if name == service.name:
            assert new not in (0, old), f"no new process of service {name} runs: {new or 'none'}, before it {old}"
        else:
            assert new == old, (
                f"service {name} did not run on while service {service.name} ended: process {old}, then {new}"
            )


def prints(output, text, version):
    """Whether an output has a text; a version in it is compared by its parts: 1.0 is not shown by 11.0 or 1.0.1."""
    return states(output, text.replace("{version}", version)) if "{version}" in text else text in output


def test_calls_on_the_command_line(target, installation, keep, measure, note):
    """Each declared call ends as it is declared to, and its output has the declared texts."""
    calls = target.application.calls
    if not calls and target.application.version_command:
        calls = (Call(run=target.application.version_command, shows=("{version}",)),)
    if not calls:
        pytest.skip("not-applicable: the application declares neither calls nor version_command")
    machine, texts, faults = installation.machine, [], []
    for number, call in enumerate(calls, 1):
        line, limit = render(call.run, target.values(), where="calls"), call.seconds * target.factor
        answer = machine.run(line, timeout=limit, user=target.application.user)
        texts.append(f"$ {line}\n{answer.text}\n[exit {answer.rc}]\n")
        picture = terminal_picture(f"{target.axes['os']} {target.architecture}", line, answer.text, answer.rc)
        keep(f"terminal-{number}.svg", picture, "image/svg+xml")
        if answer.rc in (124, 137) and call.status != answer.rc:
            faults.append(f"{line}: it did not end within {limit:.0f} s")
        elif answer.rc != call.status:
            faults.append(f"{line}: it ended with status {answer.rc}, declared is {call.status}: {answer.text[-300:]}")
        lacking = [text for text in call.shows if not prints(answer.text, text, target.application.version)]
        shown = [text.replace("{version}", target.application.version) for text in lacking]
        faults += [f"{line}: its output lacks {text!r}: {answer.text[:300]}" for text in shown]
    keep("calls.txt", "\n".join(texts))
    measure("calls", len(calls), "1")
    assert not faults, "\n".join(faults)
    shown = texts[0].splitlines()[1:2]
    note(f"{len(calls)} calls did as declared; the first printed: {''.join(shown)} / {len(calls)} 次调用与声明一致")


def test_additions_are_declared(target, installation, keep, measure, note):
    """What is there now, and was not there before the product came, is what the product declares."""
    changes = Changes.of(installation)
    if changes is None:
        pytest.skip("not-applicable: the machine was made of an image of the vendor: there is no system of before")
    keep("difference.txt", changes.listing())
    declared = target.application.adds
    if declared is None:
        pytest.skip(f"not-applicable: the application does not declare what it adds (adds); seen: {changes.listing()}")
    measure("additions", sum(map(len, changes.added.values())), "1")
    undeclared, missing = changes.undeclared(declared), changes.missing(declared)
    assert not undeclared, f"the installation changed what is not declared (adds): {'; '.join(undeclared)}"
    assert not missing, f"declared (adds), and not there after the installation: {'; '.join(missing)}"
    note(f"the difference is the declared one / 差异与声明一致: {changes.listing()}")


def test_uninstall(target, stop, installation, keep, measure, note):
    """Nothing runs, nothing listens, no program file stays; data that stays is listed.

    Containers have no service manager that a maintainer script could ask, so the product is stopped first. Packages
    that the product only needs, and the system's repositories give, may stay, as long as they are whole.
    """
    if not target.application.uninstall:
        pytest.skip("not-applicable: the application declares no uninstall")
    before = installation.files()
    own = installation.own_files()
    made = installation.made_files()
    stop()
    REMOVED.append(False)
    report = installation.uninstall()
    keep("uninstall.txt", report)
    if not installation.usable():
        raise ProductFault(
            "after the removal the machine runs no command any more: programs of the system itself were removed",
            "卸载后机器已无法执行命令：系统自身的程序被删除",
            report[-1500:],
            certain=True,
        )
    REMOVED.append(True)
    left, ports = installation.remains()
    assert not left, f"processes left after removal: {left}"
    assert not ports, f"ports still listening after removal: {ports}"
    staying = set(installation.still_installed())
    removed = [name for name in target.installed if name not in staying]
    assert own or removed, (
        f"the removal removed nothing: {', '.join(target.installed) or 'the product'} is still installed"
    )
    shipped = [name for name in staying if name in target.shipped]
    assert not shipped, f"packages of the product are still installed: {', '.join(sorted(shipped))}"
    needed = set(installation.files_of([name for name in target.installed if name in staying]))
    leftovers = [path for path in installation.existing(before) if path not in needed or path in own]
    kept = installation.kept_configuration(before)
    late = installation.existing([path for path in made or [] if path not in before and path not in kept])
    programs = installation.programs(leftovers + late)
    keep("leftovers.txt", _listing(leftovers, late, kept, sorted(staying), looked=made is not None))
    measure("leftover files", len(leftovers), "1")
    if kept:
        measure("copies of changed configuration that stay", len(kept), "1")
    if made is not None:
        measure("files left that were made at run time", len(late), "1")
    assert not programs, f"program files left after removal: {programs[:50]}"
    note(
        f"removed: {', '.join(removed) or 'its files'}; no process, port or program file is left"
        " / 已移除，无残留进程、端口与程序文件"
    )


def test_removal_takes_back_what_was_added(request, target, installation, keep, measure, note):
    """Of what the installation added to the system, nothing is left that acts without the product."""
    if not target.application.uninstall:
        pytest.skip("not-applicable: the application declares no uninstall")
    if not REMOVED:  # the operator left the case of the removal out; a product that is gone cannot be started
        request.getfixturevalue("stop")()
        installation.uninstall()
    elif not REMOVED[-1]:
        pytest.skip("dependency: the removal failed (LC-07), so there is no system after it to be looked at")
    changes = Changes.of(installation)
    if changes is None:
        pytest.skip("not-applicable: the machine was made of an image of the vendor: there is no system of before")
    keep("after-removal.txt", changes.listing())
    left = {key: changes.added[key] for key in ("users", "groups")}
    for key, names in left.items():
        measure(f"{key} left", len(names), "1")
    acting, gone = (
        changes.acting(installation),
        [f"{key}: {name}" for key, names in changes.gone.items() for name in names],
    )
    assert not acting, f"left after the removal, and still acting on the system: {'; '.join(acting)}"
    assert not gone, f"of the system, and gone after the removal: {'; '.join(gone)}"
    note(f"nothing that acts is left / 无仍会生效的残留; {changes.listing()}")


def _listing(leftovers, late, kept, staying, *, looked):
    """What stays, for people."""
    parts = [
        ("files of the product", leftovers),
        ("changed configuration of the product, of which the package manager keeps a copy", kept),
        ("packages of the system's repositories", staying),
    ]
    if looked:
        parts.append(("files made on the machine since it was started, of no package", late))
    return "\n".join(f"{title}:\n" + ("\n".join(f"  {path}" for path in paths) or "  none") for title, paths in parts)
