"""A warm cell: seconds until the product serves, from cached environments, one cell at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import command

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Print seconds to "deployed" per CPU and database; goal on LoongArch: at most 10."""
    for cpu in ("x86-64", "kunpeng-920", "loongson-3a5000"):
        with tempfile.TemporaryDirectory() as place:
            argv = command(
                "run", str(ROOT / "matrices" / "powerdns"), "--only", f"cpu={cpu}", "--jobs", "1", "--format", "json"
            )
            done = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False)
            try:
                summary = json.loads(done.stdout)
            except ValueError:
                sys.exit(done.stderr[-2000:])
            for cell in summary["cells"]:
                if cell["verdict"] != "not-tested":
                    deployed = cell["seconds"].get("deployed", 0)
                    print(
                        f"{cpu:16} {cell['axes']['database']:12} deployed {deployed:5.1f} s   "
                        f"total {cell['seconds']['total']:5.1f} s   {cell['verdict']}",
                        flush=True,
                    )
