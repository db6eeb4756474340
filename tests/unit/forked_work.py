"""What the tests of the fork server have it do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path


def tell(code: int, text: str) -> int:
    print(text, os.environ.get("FORKED", ""), Path.cwd())
    print("to stderr", file=sys.stderr)
    return code


def leave_something(pid_file: str, seconds: float) -> int:
    left = subprocess.Popen(["sleep", "300"])
    Path(pid_file).write_text(str(left.pid))
    time.sleep(seconds)
    return 0


def die(signal: int) -> int:
    os.kill(os.getpid(), signal)
    return 0


def burst() -> int:
    raise LookupError("burst on purpose")
