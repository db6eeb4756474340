"""Small products that tests deploy for real: a web server, and programs made to fail in known ways."""

from __future__ import annotations

import io
import struct
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import yaml

CHECK = "def test_it_runs(application):\n    assert application.running()\n"

#: busybox's web server: installed in seconds, serves a file.
WEB: dict[str, Any] = {
    "application": "tiny-web",
    "name": {"zh": "小网站", "en": "Tiny web"},
    "vendor": "Example",
    "version": "1.0",
    "packages": ["busybox"],
    "setup": ["mkdir -p /srv/www && echo good >/srv/www/health"],
    "start": "busybox httpd -f -p 8080 -h /srv/www",
    "ready": {"path": "/health", "seconds": 20},
    "ports": {"web": 8080},
    "http": {"port": "web"},
    "limits": {"memory": "128m", "cpus": 1, "processes": 64},
}


def product(
    root: Path,
    application: dict[str, Any],
    *,
    cpu: list[str] | None = None,
    os: str = "debian-12",
    database: list[str] | None = None,
    axes: dict[str, list[str]] | None = None,
    suites: list[str] | None = None,
    check: str = CHECK,
    **matrix: Any,
) -> Path:
    """A folder with application.yaml, matrix.yaml and a suite ``checks`` of one file."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "application.yaml").write_text(yaml.safe_dump(application, allow_unicode=True, sort_keys=False))
    value = {
        "matrix": application["application"],
        "axes": {"os": [os], "cpu": cpu or ["x86-64"], "database": database or ["sqlite"], **(axes or {})},
        "suites": suites or ["checks"],
        **matrix,
    }
    (root / "matrix.yaml").write_text(yaml.safe_dump(value, allow_unicode=True, sort_keys=False))
    (root / "checks").mkdir(exist_ok=True)
    (root / "checks" / "test_checks.py").write_text(check)
    return root


def archive(members: dict[str, bytes]) -> bytes:
    """A zip with these files."""
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as made:
        for name, data in members.items():
            made.writestr(name, data)
    return whole.getvalue()


def deb(folder: Path, architecture: str) -> Path:
    """A real Debian package for ``architecture`` with one file."""
    tree = folder / f"tree-{architecture}"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "DEBIAN" / "control").write_text(
        f"Package: seeded-tool\nVersion: 1.0\nArchitecture: {architecture}\nMaintainer: Test <test@example.invalid>\n"
        "Description: seeded fault\n"
    )
    (tree / "opt" / "seeded").mkdir(parents=True)
    (tree / "opt" / "seeded" / "tool").write_text("#!/bin/sh\nexec sleep infinity\n")
    (tree / "opt" / "seeded" / "tool").chmod(0o755)
    path = folder / "tool.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(path)], check=True, capture_output=True)
    return path


def lse_program() -> bytes:
    """A static aarch64 ELF: one LSE atomic (``ldadd``), then it writes ``ready`` and waits for ever.

    Assembled by hand, because a compiler's outline atomics would hide what ARMv8.0 lacks.
    """
    words = [
        0xD10043FF,  # sub  sp, sp, #16
        0xD2800021,  # mov  x1, #1
        0x910003E2,  # mov  x2, sp
        0xF8210043,  # ldadd x1, x3, [x2]     ARMv8.1 LSE
        0xD2800020,  # mov  x0, #1            stdout
        0x10000181,  # adr  x1, message       48 bytes on
        0xD28000C2,  # mov  x2, #6
        0xD2800808,  # mov  x8, #64           write
        0xD4000001,  # svc  #0
        0xD2800000,  # mov  x0, #0
        0xD2800001,  # mov  x1, #0
        0xD2800002,  # mov  x2, #0
        0xD2800003,  # mov  x3, #0
        0xD2800928,  # mov  x8, #73           ppoll(NULL, 0, NULL, NULL)
        0xD4000001,  # svc  #0
        0x17FFFFFA,  # b    back to the first mov of the wait
        0x00000000,
    ]
    message_at = 5 * 4 + 48
    code = b"".join(struct.pack("<I", word) for word in words)
    code = code[:message_at].ljust(message_at, b"\0") + b"ready\n"
    base, header = 0x400000, 64 + 56
    size = header + len(code)
    elf = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01" + b"\0" * 9, 2, 183, 1, base + header, 64, 0, 0, 64, 56, 1, 64, 0, 0
    )
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return elf + segment + code


def notes(folder: Path, version: str, *, data: str = "/var/lib/notes", said: str = "") -> Path:
    """A Debian package of a small server that keeps notes in files below ``data``, with a systemd unit.

    ``said``: the version that it prints, where that is to be another one than its own.
    """
    tree = folder / f"notes-{version}"
    files = {
        "DEBIAN/control": f"Package: notes\nVersion: {version}\nArchitecture: all\nDepends: busybox\n"
        "Maintainer: Test <test@example.invalid>\nDescription: notes\n",
        "opt/notes/www/health": "good\n",
        "opt/notes/version": f"#!/bin/sh\necho notes {said or version}\n",
        "opt/notes/www/cgi-bin/note": NOTE.format(data=data),
        "lib/systemd/system/notes.service": "[Unit]\nDescription=Notes\n[Service]\nRestart=always\n"
        "ExecStart=/bin/busybox httpd -f -p 8080 -h /opt/notes/www\n",
    }
    for name, text in files.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
        (tree / name).chmod(0o755 if text.startswith("#!") else 0o644)
    path = folder / f"notes_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(tree), str(path)], check=True, capture_output=True)
    return path


#: CGI (RFC 3875): /cgi-bin/note/ACTION/KEY, because busybox's web server knows GET and POST alone.
NOTE = """#!/bin/sh
action=${{PATH_INFO#/}}; key=${{action#*/}}; action=${{action%%/*}}; f={data}/$key
mkdir -p {data}
case $action in
  put) head -c "$CONTENT_LENGTH" >"$f" ;;
  drop) rm -f "$f" ;;
  get) [ -e "$f" ] || {{ printf 'Status: 404 Not Found\\r\\n\\r\\n'; exit; }} ;;
esac
printf 'Content-Type: application/json\\r\\n\\r\\n'
[ ! -e "$f" ] || cat "$f"
"""

NOTES: dict[str, Any] = {
    "application": "notes",
    "name": {"zh": "便笺", "en": "Notes"},
    "vendor": "Example",
    "version": "2.0",
    "version_command": "/opt/notes/version",
    "packages": ["busybox"],
    "artifacts": [{"path": "notes_2.0_all.deb"}],
    "start": "busybox httpd -f -p 8080 -h /opt/notes/www",
    "ready": {"path": "/health", "seconds": 20},
    "uninstall": ["dpkg --purge notes busybox"],
    "ports": {"web": 8080},
    "http": {
        "port": "web",
        "resource": {
            "key": "n{{ n }}",
            "create": {"method": "POST", "path": "/cgi-bin/note/put/{{ key }}", "body": {"text": "{{ text }}"}},
            "read": {"method": "GET", "path": "/cgi-bin/note/get/{{ key }}"},
            "update": {"method": "POST", "path": "/cgi-bin/note/put/{{ key }}", "body": {"text": "{{ text }}"}},
            "delete": {"method": "POST", "path": "/cgi-bin/note/drop/{{ key }}"},
            "stored": "SELECT '{{ key }}'",
        },
    },
    "limits": {"memory": "128m", "cpus": 1, "processes": 64},
}
#: How version 1.0 was otherwise, and what its data needs on the way.
FORMER: dict[str, Any] = {
    "set": {"version": "1.0", "artifacts": [{"path": "notes_1.0_all.deb"}]},
    "upgrade": ["mv /var/lib/notes /var/lib/notes2"],
    "rollback": ["mv /var/lib/notes2 /var/lib/notes"],
}
