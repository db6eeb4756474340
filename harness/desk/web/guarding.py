"""What holds for every request and every answer, whatever route it takes: host, origin, size, headers."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Nothing but what comes from here; no script and no style inside of a page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
SAFE = ("GET", "HEAD", "OPTIONS")
MOST_BODY = 2**20
MOST_CHECKED = 33 * 2**20
_ARTIFACTS = re.compile(r"^(/api/v1)?/applications/[0-9]+/artifacts(/[^/]+)?$")
#: Checks of files, which cost seconds, by one address in a minute.
MOST_CHECKS = 30


class TooLarge(Exception):
    """A body has more bytes than its route takes; the application answers with 413."""


class Guard:
    """Wraps the application. ``origin``: scheme, host and port under which people reach the desk."""

    def __init__(self, app: ASGIApp, *, origin: str, most_upload: int) -> None:
        self.app, self.origin, self.most_upload = app, origin, most_upload
        self.host = urlsplit(origin).netloc
        self.secure = origin.startswith("https:")
        self._checks: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), str(scope["path"])
        self_answer = self._refused(scope, headers, path)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
                answer.setdefault("Cache-Control", "no-store")
                if self.secure:
                    answer.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        if self_answer is not None:
            await self_answer(scope, receive, guarded)
            return
        most = self._most(path)
        size = 0

        async def bounded() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > most:
                raise TooLarge
            return message

        await self.app(scope, bounded, guarded)

    def _most(self, path: str) -> int:
        if _ARTIFACTS.match(path):
            return self.most_upload + MOST_BODY
        return MOST_CHECKED if path in ("/verify", "/api/v1/verify") else MOST_BODY

    def _refused(self, scope: Scope, headers: Headers, path: str) -> PlainTextResponse | None:
        """The answer to a request that goes no further."""
        if headers.get("host", "") != self.host:
            return PlainTextResponse("unknown host / 未知主机名\n", 400)
        if int(headers.get("content-length") or 0) > self._most(path):
            return PlainTextResponse("too large / 内容过大\n", 413)
        if scope["method"] in SAFE:
            return None
        # A browser names where a form comes from; a program with a token of the API has no cookie to be abused.
        if not path.startswith("/api/") and headers.get("origin", self.origin) != self.origin:
            return PlainTextResponse("from another site / 来自其他站点\n", 403)
        if path in ("/verify", "/api/v1/verify") and not self._may_check(scope):
            return PlainTextResponse("too many / 次数过多\n", 429)
        return None

    def _may_check(self, scope: Scope) -> bool:
        address, now = str((scope.get("client") or ("",))[0]), time.monotonic()
        since, count = self._checks.pop(address, (now, 0))
        if now - since > 60:
            since, count = now, 0
        self._checks[address] = (since, count + 1)
        while len(self._checks) > 10_000:
            self._checks.popitem(last=False)
        return count < MOST_CHECKS
