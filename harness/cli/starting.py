"""The folder of a new product: a copy of the shipped example of its kind, with the product's own name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from harness.attest.architecture import host_architecture
from harness.errors import UsageError
from harness.reading.catalogue import Catalogue
from harness.reading.kinds import with_modeline, write_schemas

#: The kind where none is named.
USUAL = "web"
CPUS = {"x86_64": "x86-64", "aarch64": "kunpeng-920", "loongarch64": "loongson-3a5000"}
_SCHEMAS = ("application", "matrix", "suite", "waivers", "policy")
#: What builds leave in an example, and is no part of it.
_MADE = shutil.ignore_patterns("build", "__pycache__", "schemas")


def kinds() -> dict[str, str]:
    """Each kind of product that there is an example of -> its title in English and Chinese."""
    pages = sorted(_examples().glob("*/README.md"))
    titles = {page.parent.name: page.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for page in pages}
    return dict(sorted(titles.items(), key=lambda pair: pair[0] != USUAL))


def begin_product(folder: Path, title: str, kind: str = USUAL) -> list[Path]:
    """Write the files; gives their paths.

    Raises:
        UsageError: there is a product already, no name can be made of the title, or there is no such kind.
    """
    name = re.sub(r"[^a-z0-9._+-]+", "-", title.lower()).strip("-._+")
    if not name:
        raise UsageError(
            f"{title!r} gives no name of Latin letters and digits",
            advice="give one: harness init FOLDER --name my-product",
        )
    if kind not in kinds():
        raise UsageError(f"no kind of product {kind!r}; known: {', '.join(kinds())}", advice="harness init --kind list")
    example = _examples() / kind
    names = [path.name for path in example.iterdir() if path.name not in _MADE(str(example), [path.name])]
    if there := [each for each in sorted(names) if (folder / each).exists()]:
        raise UsageError(
            f"{folder} holds {', '.join(there)} already: nothing was written", advice="name another folder"
        )
    written = write_schemas(folder / "schemas", _SCHEMAS)
    shutil.copytree(example, folder, ignore=_MADE, copy_function=shutil.copyfile, dirs_exist_ok=True)
    copied = [path for each in sorted(names) for path in _files(folder / each)]
    for path in copied:
        if path.suffix == ".yaml":
            text = _named(path.name, path.read_text(encoding="utf-8"), name[:64], title)
            path.write_text(with_modeline(path.resolve(), text, (folder / "schemas").resolve()), encoding="utf-8")
    return [*written, *copied]


def _examples() -> Path:
    return Catalogue.shipped() / "examples"


def _files(path: Path) -> list[Path]:
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _named(file: str, text: str, name: str, title: str) -> str:
    """A definition of an example with the product's name, and the processor of this machine in place of x86-64."""
    as_yaml = json.dumps(title, ensure_ascii=False)  # any text, as YAML reads it
    own = {"application": json.dumps(name), "name": f"{{zh: {as_yaml}, en: {as_yaml}}}", "matrix": json.dumps(name)}
    for key, value in own.items():
        line = f"{key}: {value}".replace("\\", "\\\\")  # as re.sub() reads it
        text = re.sub(rf"(?m)^{key}: .*$", line, text, count=1)
    if file == "matrix.yaml":
        return text.replace("cpu: [x86-64]", f"cpu: [{CPUS[host_architecture()]}]")
    return text.replace("x86_64", host_architecture())
