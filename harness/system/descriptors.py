"""How many files and connections this process may have open at once."""

from __future__ import annotations

import contextlib
import resource

#: Two for each of the connections that some cells at once may have handed on, and no more than programs that look at
#: every number up to the limit can bear.
WANTED = 65_536


def raise_limit(wanted: int = WANTED) -> int:
    """Raise the soft limit of open descriptors to ``wanted``, or as near to it as the hard one allows; never lower it.

    Shells and services commonly start with a soft limit of 1,024. Gives the limit that holds.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if target <= soft:
        return soft
    with contextlib.suppress(OSError, ValueError):  # a kernel or a sandbox that forbids it: what is there must do
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
