"""Which files are the same thing for another architecture, and what names say of databases.

``lib/linux-x86_64/libfoo.so.1.2`` and ``lib/linux-aarch64/libfoo.so.1.2`` have the same key; so have ``app_amd64.deb``
and ``app_arm64.deb``, and ``schema.mysql.sql`` and ``schema.pgsql.sql``.
"""

from __future__ import annotations

import functools
import re

#: Words of file names -> architecture as ``uname -m`` prints it.
WORDS = {
    "x86_64": "x86_64",
    "x86-64": "x86_64",
    "amd64": "x86_64",
    "x64": "x86_64",
    "x86": "i386",
    "ia32": "i386",
    "i386": "i386",
    "i486": "i386",
    "i586": "i386",
    "i686": "i386",
    "aarch64": "aarch64",
    "aarch_64": "aarch64",
    "arm64": "aarch64",
    "armv8": "aarch64",
    "arm64v8": "aarch64",
    "arm": "arm",
    "armhf": "arm",
    "armel": "arm",
    "armv6": "arm",
    "armv6l": "arm",
    "armv7": "arm",
    "armv7l": "arm",
    "loongarch64": "loongarch64",
    "loong64": "loongarch64",
    "loongarch_64": "loongarch64",
    "mips64el": "mips64",
    "mips64le": "mips64",
    "mips64": "mips64",
    "mipsel": "mips",
    "sw_64": "sw_64",
    "sw64": "sw_64",
    "riscv64": "riscv64",
    "ppc64": "ppc64",
    "ppc64le": "ppc64",
    "ppc64el": "ppc64",
    "ppcle_64": "ppc64",
    "s390": "s390",
    "s390x": "s390",
    "s390_64": "s390",
}
_ARCHITECTURE = re.compile(
    r"(?<![a-z0-9])(?:" + "|".join(sorted(map(re.escape, WORDS), key=len, reverse=True)) + r")(?![a-z0-9])"
)
_DIGEST = re.compile(r"[0-9a-f]{32,128}")
_SONAME = re.compile(r"\.so(?:\.\d+)+")
_NUMBER = re.compile(r"\d+(?:\.\d+)*")

#: Words of names -> family of SQL; a database of that name or family is what such a file is for.
SQL_WORDS = {
    "mysql": "mysql",
    "mysqli": "mysql",
    "mariadb": "mysql",
    "tidb": "mysql",
    "oceanbase": "mysql",
    "gbase8a": "mysql",
    "pgsql": "postgresql",
    "postgres": "postgresql",
    "postgresql": "postgresql",
    "pg": "postgresql",
    "kingbase": "postgresql",
    "kingbase8": "postgresql",
    "kingbasees": "postgresql",
    "opengauss": "postgresql",
    "gaussdb": "postgresql",
    "gauss": "postgresql",
    "highgo": "postgresql",
    "vastbase": "postgresql",
    "uxdb": "postgresql",
    "gbase8c": "postgresql",
    "oracle": "oracle",
    "ora": "oracle",
    "dm": "oracle",
    "dm8": "oracle",
    "dameng": "oracle",
    "yashandb": "oracle",
    "oscar": "oracle",
    "sqlite": "sqlite",
    "sqlite3": "sqlite",
    "informix": "informix",
    "gbase8s": "informix",
    "mssql": "mssql",
    "sqlserver": "mssql",
    "sqlsrv": "mssql",
    "db2": "db2",
    "h2": "h2",
    "hsqldb": "hsqldb",
    "derby": "derby",
    "firebird": "firebird",
}
_SQL = re.compile(
    r"(?<![a-z0-9])(?:" + "|".join(sorted(map(re.escape, SQL_WORDS), key=len, reverse=True)) + r")(?![a-z0-9])"
)


@functools.lru_cache(maxsize=4096)
def key_of(place: str) -> str:
    """What ``place`` has in common with its variants for other architectures."""
    key = _DIGEST.sub("*", place.lower())
    return _SONAME.sub(".so", _ARCHITECTURE.sub("*", key))


def unit_of(place: str) -> str:
    """As ``key_of`` for a whole package: its variants may differ in version too."""
    return _NUMBER.sub("#", key_of(place))


def architectures_named(text: str) -> set[str]:
    """Architectures whose words stand in ``text``."""
    return {WORDS[word] for word in _ARCHITECTURE.findall(text.lower())}


def sql_named(place: str) -> tuple[str, str]:
    """Word and family of the database that a file is for by its name or folder; empty where no word tells."""
    words = _SQL.findall(place.lower())
    return (words[-1], SQL_WORDS[words[-1]]) if words else ("", "")
