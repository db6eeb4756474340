"""Numbers of tasks, quantity by quantity: beside a reference, beside a second run, beside other contents of memory."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import pytest

from harness.attest.arithmetic import Arithmetic, differing, probe_arithmetic
from harness.control.fault import ProductFault
from harness.errors import SuiteError, UsageError
from harness.numerics.comparing import compare_numbers, compare_runs, not_finite
from harness.numerics.histogram import histogram
from harness.numerics.reading import read_numbers
from harness.presentation.typesetting import picture_of

#: What malloc(3) of glibc fills memory with (mallopt(3), M_PERTURB): two patterns that differ in every bit.
FILLS = (0x55, 0xAA)
#: Tasks whose second run gave other numbers: of them nothing is known of memory.
CHANGING: set[str] = set()
PROBED: list[Arithmetic] = []


def declared(tasks):
    """Tasks with files of numbers."""
    chosen = [task for task in tasks.tasks if task.numbers]
    if not chosen:
        pytest.skip("not-applicable: no task declares numbers / 任务均未声明 numbers")
    return chosen


def run_of(tasks, task):
    """The first run of a task."""
    try:
        return tasks.first_run(task)
    except ProductFault as fault:
        pytest.skip(f"dependency: NUM-01: {fault}")


def reading_of(tasks, run, file):
    """What a run wrote, which NUM-01 has found to be whole."""
    try:
        reading = read_numbers(file, tasks.file(run, file.file))
    except ProductFault as fault:
        pytest.skip(f"dependency: NUM-01: {fault}")
    if wrong := [*reading.faults, *not_finite(file, reading)]:
        pytest.skip(f"dependency: NUM-01: {file.file}: {wrong[0]}")
    return reading


def reference_of(target, file):
    """The stored reference, whole; None where there is none."""
    if not file.reference:
        return None
    reading = read_numbers(file, (target.template_folder / file.reference).read_bytes())
    if reading.faults:
        raise SuiteError(
            f"the reference {file.reference} cannot be compared with anything: {reading.faults[0]}",
            advice="correct it: it must hold every quantity that has no formula",
        )
    return reading


def show(keep, name, differences):
    """Keep the picture of differences."""
    if any(difference.decades for difference in differences):
        keep(f"{name}.png", picture_of(histogram(differences)), "image/png")


def figures(measure, where, differences):
    """Record how far values are apart."""
    for each in differences:
        measure(f"{where}, {each.name}: values that differ", each.differing, "1")
        if each.worst is not None and each.worst.absolute.is_finite():
            measure(f"{where}, {each.name}: largest difference", float(each.worst.absolute), each.unit)


def test_quantities_are_there(tasks, target, keep, measure, note):
    wrong, count, digests = [], 0, {}
    for task in declared(tasks):
        run = tasks.first_run(task)
        for file in task.numbers:
            data = tasks.file(run, file.file)
            keep(f"{task.task}-{file.file.replace('/', '-')}", data, "application/octet-stream")
            digests.setdefault(task.task, {})[file.file] = hashlib.sha256(data).hexdigest()
            reading = read_numbers(file, data)
            count += sum(len(series.values) for series in reading.series.values())
            lines = [*reading.faults[:20], *not_finite(file, reading)]
            wrong += [f"task {task.task}, {file.file}: {line}" for line in lines]
    if target.reference_cell is not None and target.reference_cell.is_itself:
        index = {"arithmetic": dataclasses.asdict(own_arithmetic(tasks)), "files": digests}
        keep("numbers.json", json.dumps(index, ensure_ascii=False), "application/json")
    measure("numbers read", count, "1")
    assert not wrong, "quantities are missing, or are no finite numbers:\n" + "\n".join(wrong)
    note(
        f"{count} numbers of all quantities were read, each finite where it must be / 共读取 {count} 个数值，均符合要求"
    )


def test_reference(tasks, target, keep, measure, note):
    wrong, compared = [], 0
    for task in declared(tasks):
        for file in task.numbers:
            if not file.reference and not any(quantity.formula for quantity in file.quantities):
                continue
            run = run_of(tasks, task)
            expected = reference_of(target, file)
            differences = compare_numbers(file, reading_of(tasks, run, file), expected)
            compared += sum(each.compared for each in differences)
            where = f"{task.task}, {file.file}"
            show(keep, f"{task.task}-{file.file.replace('/', '-')}-reference", differences)
            figures(measure, where, differences)
            wrong += [f"task {where}: {each.text}" for each in differences if not each.good]
    if not compared and not wrong:
        pytest.skip("not-applicable: no file of numbers has a reference or a formula / 未声明参考值或公式")
    assert not wrong, "results are beyond their tolerances:\n" + "\n".join(wrong)
    note(f"{compared} values are within their tolerances / {compared} 个数值均在容差内")


def unlike(tasks, task, run, other, keep, measure, name):
    """Differences of two runs of a task on this target, as lines; and how many values were compared."""
    wrong, compared = [], 0
    for file in task.numbers:
        differences = compare_runs(file, reading_of(tasks, run, file), reading_of(tasks, other, file))
        compared += sum(each.compared for each in differences)
        where = f"{task.task}, {file.file}"
        if any(each.differing for each in differences):
            figures(measure, f"{where}, {name}", differences)
            show(keep, f"{task.task}-{file.file.replace('/', '-')}-{name.replace(' ', '-')}", differences)
        wrong += [f"task {where}: {each.text}" for each in differences if not each.good]
    return wrong, compared


def test_second_run(tasks, keep, measure, note):
    wrong, compared = [], 0
    for task in declared(tasks):
        run = run_of(tasks, task)
        lines, count = unlike(tasks, task, run, tasks.run(task), keep, measure, "second run")
        if lines:
            CHANGING.add(task.task)
        wrong, compared = wrong + lines, compared + count
    assert not wrong, "a second run on the same target gives other numbers:\n" + "\n".join(wrong)
    note(f"a second run gave the same {compared} values / 再次运行得到相同的 {compared} 个数值")


def demand_glibc(tasks):
    """Leave out what only glibc does."""
    machine = tasks.deployment.machine
    said = machine.run("getconf GNU_LIBC_VERSION 2>/dev/null; ls -d /lib/ld-musl-* 2>/dev/null", timeout=60).out
    if "glibc" not in said and "ld-musl" in said:
        pytest.skip("not-applicable: the target's C library is musl, which fills no memory / 目标的 C 库为 musl")
    if "glibc" not in said:
        raise SuiteError("the target does not say what its C library is, so memory may not have been filled")


def other_reading(reference, task, file):
    """What the reference cell wrote into a file.

    Raises:
        UsageError: it cannot be had: then nothing can be said of this cell.
    """
    index = json.loads(reference.index.read_bytes())
    digest = index["files"].get(task.task, {}).get(file.file)
    if digest not in reference.files:
        raise UsageError(f"the reference cell {reference.cell} has no file {file.file} of the task {task.task}")
    data = reference.files[digest].read_bytes()
    if hashlib.sha256(data).hexdigest() != digest:
        raise UsageError(f"{file.file} of the reference cell was changed in the evidence", advice="harness verify")
    reading = read_numbers(file, data)
    if reading.faults:
        raise UsageError(f"{file.file} of the reference cell {reference.cell}: {reading.faults[0]}")
    return reading


def own_arithmetic(tasks):
    """The arithmetic of this cell's target, asked for once."""
    if not PROBED:
        PROBED.append(probe_arithmetic(tasks.deployment.machine, factor=tasks.deployment.context.factor))
    return PROBED[0]


def reason_of(tasks, reference, task):
    """What is known of why numbers differ from those of another target; what was not shown is not ascribed."""
    if task.task in CHANGING:
        return "suspected reason: they change from run to run on this target already (NUM-03)"
    own = own_arithmetic(tasks)
    other = Arithmetic.of(json.loads(reference.index.read_bytes())["arithmetic"])
    if not (own.by and other.by):
        return f"not ascribed: the arithmetic was not probed ({own.reason or other.reason})"
    words = differing(other, own)
    if not words:
        return "not ascribed: the probe of arithmetic shows no difference between the targets, a second run none either"
    return (
        "not ascribed to one thing: a second run on this target gives the same; the targets differ in "
        f"{'; '.join(words)} (probe of arithmetic); whether the product uses that was not seen"
    )


def test_reference_cell(tasks, target, keep, measure, note):
    reference = target.reference_cell
    if reference is None:
        pytest.skip("not-applicable: the matrix names no reference_cell / 矩阵未指定 reference_cell")
    if reference.is_itself:
        pytest.skip("not-applicable: this is the reference cell / 本单元即参考单元")
    chosen = declared(tasks)
    if reference.trouble:
        raise UsageError(
            f"nothing can be compared with the reference cell {reference.cell}: {reference.trouble}",
            advice="run it in the same campaign, and see its own cases",
        )
    wrong, compared, differ = [], 0, 0
    for task in chosen:
        run = run_of(tasks, task)
        before = differ
        for file in task.numbers:
            without = file.model_copy(
                update={"quantities": tuple(each.model_copy(update={"formula": ""}) for each in file.quantities)}
            )
            differences = compare_numbers(without, reading_of(tasks, run, file), other_reading(reference, task, file))
            compared += sum(each.compared for each in differences)
            differ += sum(each.differing for each in differences)
            where = f"{task.task}, {file.file}"
            show(keep, f"{task.task}-{file.file.replace('/', '-')}-reference-cell", differences)
            figures(measure, where, differences)
            wrong += [f"task {where}: {each.text}" for each in differences if not each.good]
        if differ > before:
            reason = reason_of(tasks, reference, task)
            wrong += [f"task {task.task}: {reason}"] if wrong else []
            note(f"task {task.task}: {differ - before} values differ. {reason}")
    assert not wrong, f"numbers are beyond their tolerances of those of {reference.cell}:\n" + "\n".join(wrong)
    note(
        f"{compared} values are within their tolerances of those of {reference.cell}; {differ} differ / "
        f"与参考单元相比，{compared} 个数值均在容差内，其中 {differ} 个不同"
    )


def test_memory(tasks, keep, measure, note):
    chosen = declared(tasks)
    demand_glibc(tasks)
    wrong, compared = [], 0
    for task in chosen:
        run = run_of(tasks, task)
        if task.task in CHANGING:
            pytest.skip(f"dependency: NUM-03: results of {task.task} change from run to run, whatever is in memory")
        first, second = (tasks.run(task, further={"MALLOC_PERTURB_": str(fill)}) for fill in FILLS)
        lines, count = unlike(tasks, task, run, first, keep, measure, "memory filled")
        lines += unlike(tasks, task, first, second, keep, measure, "memory filled otherwise")[0]
        if lines:  # only where the same memory gives the same numbers have the contents of memory changed them
            again = tasks.run(task, further={"MALLOC_PERTURB_": str(FILLS[0])})
            if unlike(tasks, task, first, again, keep, measure, "the same memory")[0]:
                pytest.skip(
                    f"dependency: NUM-03: results of {task.task} change from run to run with the same memory too"
                )
        wrong, compared = wrong + lines, compared + count
    assert not wrong, (
        "numbers depend on what was in memory before: memory is read that was never written (with MALLOC_PERTURB_ "
        "85 or 170 they differ, and with 85 twice they are the same):\n" + "\n".join(wrong)
    )
    note(
        f"{compared} values are the same whatever malloc's memory holds before; memory that is not of malloc was not "
        f"filled / malloc 分配的内存以两种模式填充，{compared} 个数值相同；其他内存未填充"
    )
