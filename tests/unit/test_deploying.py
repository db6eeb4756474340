"""Files of a vendor that cannot be read as text are faults of the declarations, not of product or harness."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.deploy.steps import deploy
from harness.errors import UsageError

SCHEMA = "CREATE TABLE a (b VARCHAR(9) DEFAULT '测试');\n"


def deployment(folder: Path, data: bytes, asked: list[str]) -> Any:
    application = SimpleNamespace(
        schema_steps={"d": [SimpleNamespace(command=None, file="/opt/schema.sql", sql=None)]},
        templates=[SimpleNamespace(template="app.conf", path="/etc/app.conf", mode="0644", owner="root:root")],
        playbooks=[],
        user="root",
    )
    (folder / "app.conf").write_bytes(data)
    context = SimpleNamespace(
        application=application,
        database=SimpleNamespace(absent=False, database="d"),
        access=SimpleNamespace(path=""),
        template_folder=folder,
        values=dict,
        factor=1.0,
    )
    machine = SimpleNamespace(get=lambda _: data, put=lambda *given, **_: asked.append(given[1].decode()))
    database = SimpleNamespace(embedded=False, query=asked.append)
    return SimpleNamespace(context=context, machine=machine, database=database, install_control=lambda: None)


@pytest.mark.parametrize(("step", "name"), [("schema", "/opt/schema.sql"), ("configure", "app.conf")])
@pytest.mark.parametrize("encoding", ["gbk", "gb18030"])
def test_a_file_in_another_encoding_is_named_with_the_offset(
    tmp_path: Path, step: str, name: str, encoding: str
) -> None:
    suite: Any = SimpleNamespace(suite="deployment", cases=[SimpleNamespace(id="D", test=step)])
    offset = SCHEMA.index("测")
    with pytest.raises(UsageError, match=f"{name} is not UTF-8: byte 0xb2 at offset {offset}"):
        list(deploy(deployment(tmp_path, SCHEMA.encode(encoding), []), suite, steps=(step,)))
    asked: list[str] = []
    list(deploy(deployment(tmp_path, SCHEMA.encode(), asked), suite, steps=(step,)))
    assert asked == [SCHEMA]
