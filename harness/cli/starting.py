"""The folder of a new product."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path

from harness.attest.architecture import host_architecture
from harness.errors import UsageError
from harness.reading.kinds import with_modeline, write_schemas

APPLICATION = """\
# What is tested and how it is deployed. All keys: docs/reference/definitions.md, or your editor.
# This one is a web server from the distribution: replace it by your product.
application: {name}
name: {{zh: {title}, en: {title}}}
vendor: {{zh: 请填写厂商, en: fill in the vendor}}
version: "1.0"
packages: [busybox]
setup:
  - mkdir -p /srv/www && echo good >/srv/www/health
start: busybox httpd -f -p 8080 -h /srv/www
ready: {{path: /health, seconds: 20}}
ports: {{web: 8080}}
http: {{port: web}}
limits: {{memory: 128m, cpus: 1, processes: 64}}
"""

MATRIX = """\
# On what it is tested. `harness plan` shows the cells, `harness targets` what else there is.
matrix: {name}
axes:
  os: [debian-12]
  cpu: [{cpu}]   # add kunpeng-920, phytium-ft2000plus: they are emulated where the machine is another one
  database: [none]   # the product has none; else: sqlite, mariadb, postgresql …
suites: [compat/lifecycle, checks]
"""

CHECKS = """\
\"\"\"Your own checks; see docs/guide. A failed assertion is the product's failure, any other exception an error.\"\"\"


def test_health(http):
    answer = http.send("GET", "/health")
    assert answer.text == "good\\n"
"""

CPUS = {"x86_64": "x86-64", "aarch64": "kunpeng-920", "loongarch64": "loongson-3a5000"}


def begin_product(folder: Path, title: str) -> list[Path]:
    """Write the files; gives their paths.

    Raises:
        UsageError: there is a product already, or no name can be made of the title.
    """
    name = re.sub(r"[^a-z0-9._+-]+", "-", title.lower()).strip("-._+")
    if not name:
        raise UsageError(
            f"{title!r} gives no name of Latin letters and digits",
            advice="give one: harness init FOLDER --name my-product",
        )
    there = [file_name for file_name in ("application.yaml", "matrix.yaml", "checks") if (folder / file_name).exists()]
    if there:
        raise UsageError(
            f"{folder} holds {', '.join(there)} already: nothing was written", advice="name another folder"
        )
    (folder / "checks").mkdir(parents=True)
    cpu = CPUS[host_architecture()]
    quoted = functools.partial(json.dumps, ensure_ascii=False)  # any text, as YAML reads it
    schemas = (folder / "schemas").resolve()
    written = write_schemas(folder / "schemas", ("application", "matrix", "suite", "waivers", "policy"))
    for file, text in (("application.yaml", APPLICATION), ("matrix.yaml", MATRIX), ("checks/test_checks.py", CHECKS)):
        path = folder / file
        text = text.format(name=quoted(name[:64]), title=quoted(title), cpu=cpu) if file.endswith(".yaml") else text
        path.write_text(with_modeline(path.resolve(), text, schemas), encoding="utf-8")
        written.append(path)
    return written
