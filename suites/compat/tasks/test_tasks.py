"""Programs that are run and end: batch programs, command lines, solvers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.control.fault import ProductFault

CHINESE = "任务 数据𠮷"


def unlike(tasks, run):
    """The differences of all outputs of a run, as lines."""
    found = {output.file: tasks.compared(run, output) for output in run.task.outputs}
    return [f"task {run.task.task}, {file}:\n{each.text}" for file, each in found.items() if each.differences]


def run_of(tasks, task):
    """The first run of a task; what builds on a task that failed is left out."""
    try:
        return tasks.first_run(task)
    except ProductFault as fault:
        pytest.skip(f"dependency: TSK-01: {fault}")


def demand_good_outputs(tasks, task):
    """Leave out what says nothing where the outputs of the first run already are not as expected."""
    run = run_of(tasks, task)
    try:
        wrong = unlike(tasks, run)
    except ProductFault as fault:
        wrong = [str(fault)]
    if wrong:
        pytest.skip(f"dependency: TSK-02: the outputs of {task.task} are not as expected")


def test_tasks_end(tasks, measure, note):
    for task in tasks.tasks:
        run = tasks.first_run(task)
        measure(f"{task.task}: time", run.seconds, "s")
        note(f"task {task.task} ended with status {run.status} / 任务以状态 {run.status} 结束")


def test_outputs(tasks, keep, measure, note):
    wrong, compared = [], 0
    for task in tasks.tasks:
        run = run_of(tasks, task)
        for output in task.outputs:
            compared += 1
            keep(f"{task.task}-{output.file.replace('/', '-')}", tasks.written(run, output), "application/octet-stream")
            difference = tasks.compared(run, output)
            for name, value in difference.largest.items():
                measure(f"{task.task}, {output.file}: {name}", value, "1")
            if difference.differences:
                wrong.append(f"task {task.task}, {output.file}:\n{difference.text}")
    if not compared:
        pytest.skip("not-applicable: no task declares outputs")
    measure("outputs compared", compared, "1")
    assert not wrong, "outputs differ from what is expected:\n" + "\n".join(wrong)
    note(f"{compared} outputs are as expected / {compared} 个输出与预期一致")


def test_two_at_once(tasks, note):
    for task in tasks.tasks:
        demand_good_outputs(tasks, task)
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(tasks.run, [task, task]))
        wrong = [line for run in runs for line in unlike(tasks, run)]
        assert not wrong, "two runs at once disturb each other:\n" + "\n".join(wrong)
        note(f"task {task.task}: the outputs of two runs at once are as expected / 同时运行两次，输出均与预期一致")


def test_folder_with_a_chinese_name(tasks, note):
    for task in tasks.tasks:
        demand_good_outputs(tasks, task)
        wrong = unlike(tasks, tasks.run(task, CHINESE))
        assert not wrong, f"in a folder named {CHINESE}:\n" + "\n".join(wrong)
        note(f"task {task.task} in a folder named {CHINESE}: the outputs are as expected / 输出与预期一致")


def test_nothing_is_left_running(tasks, installation, note):
    for task in tasks.tasks:
        run_of(tasks, task)
    left, _ = installation.remains()
    assert not left, f"processes left after the tasks: {left}"
    note("no process of a task runs any more / 任务的进程均已结束")
