"""Stand-ins for images of database vendors: archives of images with Debian's PostgreSQL or MariaDB in them, and an
entry point of their own that starts them as such images do. Nothing of them is a vendor's, and their names say so."""

from __future__ import annotations

import contextlib
import hashlib
import io
import secrets
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from harness.campaigns.options import cache_folder
from harness.containers.engine import Engine
from harness.containers.environments import Environments
from harness.containers.images import BaseImages
from harness.deploy import server_recipe
from harness.model.definitions import Database
from tests.endpoints import entry
from tests.labs import Notes, system

LICENCE_PATH = "/opt/standin/licence.key"
GOOD_LICENCE = "valid=yes serial=7b1e-stand-in-of-a-licence\n"
#: As servers of vendors do: no licence, no start.
LICENCE = f"""
[ -s {LICENCE_PATH} ] || {{ echo "FATAL: no licence file {LICENCE_PATH}"; exit 3; }}
grep -q '^valid=yes' {LICENCE_PATH} || {{ echo 'FATAL: the license expired on 2020-01-01'; exit 4; }}
"""
POSTGRESQL = """#!/bin/sh
# A stand-in for a vendor's image of a database: PostgreSQL of Debian.
set -e
%s
b=$(echo /usr/lib/postgresql/*/bin)
if [ ! -s "$STANDIN_DATA/PG_VERSION" ]; then
  printf '%%s\\n' "$STANDIN_PASSWORD" >/tmp/password
  "$b/initdb" -D "$STANDIN_DATA" -U center -E UTF8 --locale C --auth scram-sha-256 \\
    --pwfile /tmp/password >/dev/null
  echo 'host all all all scram-sha-256' >>"$STANDIN_DATA/pg_hba.conf"
fi
exec "$b/postgres" -D "$STANDIN_DATA" -c 'listen_addresses=*' -c unix_socket_directories=/tmp
"""
MARIADB = """#!/bin/sh
# A stand-in for a vendor's image of a database: MariaDB of Debian.
set -e
%s
[ -d /srv/standin/mysql ] ||
  mariadb-install-db --no-defaults --user=mysql --datadir=/srv/standin --skip-test-db >/dev/null
echo "ALTER USER root@localhost IDENTIFIED BY '$STANDIN_PASSWORD';" >/srv/standin.sql
exec mariadbd --no-defaults --user=mysql --datadir=/srv/standin --bind-address=0.0.0.0 --skip-name-resolve \\
  --socket=/tmp/standin.sock --character-set-server=utf8mb4 --innodb-buffer-pool-size=64M --init-file=/srv/standin.sql
"""

#: Asked from here, by its driver.
POSTGRESQL_ENTRY: dict[str, Any] = {
    "database": "standin-postgresql",
    "name": "Stand-in for a vendor's database (PostgreSQL of Debian)",
    "vendor": "Tests",
    "placement": "external",
    "port": 5432,
    "sql": "postgresql",
    "fixed_at_initialisation": ["server_encoding"],
    "image": {
        "environment": {"STANDIN_DATA": "/srv/standin", "STANDIN_PASSWORD": "{{ admin.password }}"},
        "admin": "center",
        "data": ["/srv/standin"],
        "shm_size": "96m",
        "ulimits": {"nofile": 4096},
        "stop_signal": "INT",
    },
    "limits": {"memory": "512m", "cpus": 1, "processes": 128},
    "certainty": "measured",
    "source": "an image that the tests make",
}
#: Asked with the client in it.
MARIADB_ENTRY: dict[str, Any] = {
    "database": "standin-mariadb",
    "name": "Stand-in for a vendor's database (MariaDB of Debian)",
    "vendor": "Tests",
    "placement": "external",
    "port": 3306,
    "sql": "mysql",
    "image": {
        "environment": {"STANDIN_PASSWORD": "{{ admin.password }}"},
        "ready": "mariadb-admin --no-defaults -S /tmp/standin.sock ping 2>&1 | grep -E 'alive|denied' >/dev/null",
        "create": "MYSQL_PWD='{{ admin.password }}' mariadb --no-defaults -S /tmp/standin.sock -u root <<'SQL'\n"
        "CREATE DATABASE {{ db.name }} CHARACTER SET utf8mb4;\n"
        "CREATE USER '{{ db.user }}'@'%' IDENTIFIED BY '{{ db.password }}';\n"
        "GRANT ALL ON {{ db.name }}.* TO '{{ db.user }}'@'%';\nSQL\n",
        "query": "MYSQL_PWD='{{ db.password }}' mariadb --no-defaults -S /tmp/standin.sock -u {{ db.user }} -N -B "
        "--default-character-set=utf8mb4 {{ db.name }}",
        "version": "mariadbd --version",
        "licence": {"path": LICENCE_PATH},
    },
    "limits": {"memory": "512m", "cpus": 1, "processes": 128},
    "certainty": "measured",
    "source": "an image that the tests make",
}


def write_entry(root: Path, value: dict[str, Any], **image: Any) -> None:
    """Put an entry into the catalogue of a user's folder, with keys of its image changed."""
    recipe = entry("postgresql").endpoint
    assert recipe is not None
    asked = {} if "query" in value["image"] else {"endpoint": recipe.model_dump(mode="json", exclude_defaults=True)}
    path = root / "targets" / "database" / f"{value['database']}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({**value, **asked, "image": {**value["image"], **image}}, allow_unicode=True, sort_keys=False)
    path.write_text(text, encoding="utf-8")


def write_inventory(folder: Path, *images: dict[str, Any]) -> None:
    """databases.yaml with images alone."""
    (folder / "databases.yaml").write_text(yaml.safe_dump({"images": list(images)}, sort_keys=False), encoding="utf-8")


def image_of(archive: Path, database: str, **more: Any) -> dict[str, Any]:
    """An image of databases.yaml; the archive is named as it lies beside the file."""
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    named = {"image": f"{database}-archive", "database": database, "architecture": "x86_64"}
    return {**named, "archive": archive.name, "sha256": digest, **more}


@contextlib.contextmanager
def stand_in(path: Path, database: str, *, licensed: bool = False, name: str = "") -> Iterator[Path]:
    """An archive (docker save) of a stand-in for x86-64: ``database`` is that of Debian which is in it. Its environment
    is the one that other tests have in the cache. With ``name``, the image stays in the engine under that name."""
    engine = Engine("vendors")
    images = BaseImages(engine, cache_folder())
    recipe = server_recipe(entry(database), os="debian-12", architecture="x86_64")
    made_of = Environments(engine, images, campaign="vendors").ensure(recipe, system("debian-12"), Notes())
    script = (POSTGRESQL if database == "postgresql" else MARIADB) % (LICENCE if licensed else "")
    container = engine.client.containers.create(made_of.image, ["true"], name=f"standin-{secrets.token_hex(4)}")
    tag = name or f"standin-for-a-vendor:{secrets.token_hex(4)}"
    try:
        container.put_archive("/", _program("standin.sh", script))
        repository, _, version = tag.rpartition(":")
        changes = ['ENTRYPOINT ["/standin.sh"]', "CMD []", "LABEL stand-in=yes"]
        changes += ["USER postgres"] if database == "postgresql" else []
        engine.client.api.commit(container.id, repository=repository, tag=version, changes=changes)
    finally:
        container.remove(force=True)
    try:
        with path.open("wb") as file:
            for piece in engine.client.images.get(tag).save():
                file.write(piece)
        if not name:
            engine.client.images.remove(tag, force=True)
        yield path
    finally:
        if name:
            engine.client.images.remove(tag, force=True)


def parsed(value: dict[str, Any]) -> Database:
    """An entry as a definition."""
    return Database.model_validate(value)


def _program(name: str, text: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(text.encode()), 0o755
        tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()
