"""The name of a file as `dpkg -S` takes it, which reads it as a pattern of a shell (dpkg-query(1), --search)."""

from __future__ import annotations

#: Shell function: prints a path so that it stands for itself. sed is started for odd names alone: units of systemd have
#: a backslash in theirs (``system-systemd\x2dmute\x2dconsole.slice``).
LITERAL = r"""
literal() { case $1 in *[][\\*?]*) printf %s "$1" | sed 's/[][\\*?]/\\&/g' ;; *) printf %s "$1" ;; esac; }
"""
