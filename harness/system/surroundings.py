"""The environment of the programs that this process starts: a list of variables that may pass, and no other.

What the caller's shell holds beside them stays here: passphrases of keys, tokens of a pipeline, passwords of databases.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

#: Variables that programs need to find files and libraries, to speak a language, and to reach the network.
NAMES = frozenset(
    "PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM COLUMNS LINES TMPDIR TEMP TMP NO_COLOR "
    "PYTHONPATH PYTHONHOME PYTHONUTF8 PYTHONIOENCODING PYTHONDONTWRITEBYTECODE PYTHONWARNINGS VIRTUAL_ENV "
    "LD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE OPENSSL_CONF OPENSSL_MODULES "
    "SOFTHSM2_CONF SSH_AUTH_SOCK APT_CONFIG SOURCE_DATE_EPOCH CONTAINER_HOST "
    "http_proxy https_proxy ftp_proxy no_proxy all_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY NO_PROXY ALL_PROXY".split()
)
#: Beginnings of names that may pass: locales, folders of the desktop's standard, the way to the container engine.
PREFIXES = ("LC_", "XDG_", "DOCKER_")


def surroundings(more: Mapping[str, str] | None = None, *, keep: Collection[str] = ()) -> dict[str, str]:
    """The environment of a program that is started here: what may pass of this one, those of ``keep``, and ``more``."""
    passed = {
        name: value for name, value in os.environ.items() if name in NAMES or name.startswith(PREFIXES) or name in keep
    }
    return {**passed, **(more or {})}
