"""Usage: ``python -m tests.fuzz [--seconds N] [--jobs N] [TARGET …]``; without a name, all of ``TARGETS_BY_NAME``.

Each target has a process of its own, which may take 10 s and 1 GiB for an input. All are forked from this one, because
it takes ten seconds to make the harness ready for Atheris. What fails is kept in ``fuzz-failures``, and is run again
with ``--again FILE TARGET``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import traceback
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["harness"]):
    from tests.fuzz.targets import TARGETS_BY_NAME

FAILURES = Path("fuzz-failures")


def fuzz(name: str, options: list[str], scratch: Path) -> None:
    """Fuzz a target until its time is over, or something is raised that it may not raise. Ends this process."""
    target = TARGETS_BY_NAME[name]
    log = os.open(scratch / f"{name}.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    corpus = scratch / name
    corpus.mkdir()
    for number, seed in enumerate(target.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)

    def look(data: bytes) -> None:
        try:
            target.read(data)
        except target.errors:
            return

    words = options if any(not word.startswith("-") for word in options) else [*options, str(corpus)]
    atheris.Setup([name, *words, f"-artifact_prefix={FAILURES}/{name}-"], look)
    atheris.Fuzz()


def told(name: str, status: int, scratch: Path) -> bool:
    """Print how a target ended; whether it ended well."""
    text = (scratch / f"{name}.log").read_text(errors="replace")
    runs = [line.split()[1] for line in text.splitlines() if line.startswith("Done ")]
    good = os.waitstatus_to_exitcode(status) == 0
    print(f"{name}: {runs[0] if runs else '?'} inputs, {'ok' if good else 'FAILED'}", flush=True)
    if not good:
        print(text[-3000:], flush=True)
    return good


def main() -> int:
    """Run what is named; 1 where any target fails."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--again", default="")
    parser.add_argument("targets", nargs="*")
    given = parser.parse_args()
    names = given.targets or list(TARGETS_BY_NAME)
    if unknown := set(names) - TARGETS_BY_NAME.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}; known: {', '.join(TARGETS_BY_NAME)}")
    options = [f"-max_total_time={given.seconds}", "-timeout=10", "-rss_limit_mb=1024", "-max_len=65536"]
    options += [given.again] if given.again else []
    FAILURES.mkdir(exist_ok=True)
    running: dict[int, str] = {}
    good = True
    with tempfile.TemporaryDirectory(prefix="harness-fuzz-") as scratch:
        for name in [*names, None]:
            while running and (name is None or len(running) >= given.jobs):
                process, status = os.wait()
                good &= told(running.pop(process), status, Path(scratch))
            if name is not None and (process := os.fork()) == 0:
                try:
                    fuzz(name, options, Path(scratch))
                except SystemExit as end:  # that is how Atheris ends
                    os._exit(int(end.code or 0))
                except BaseException:  # noqa: BLE001  # told, and then this process ends
                    traceback.print_exc()
                os._exit(1)
            elif name is not None:
                running[process] = name
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
