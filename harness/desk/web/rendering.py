"""Pages: templates and words of ``reports/desk``, in the reader's language."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2.sandbox import SandboxedEnvironment

from harness.desk import flow, forms
from harness.desk.database import Actor
from harness.desk.refusing import Refusal
from harness.desk.web.asking import DEVICE, LANGUAGE, SESSION, VISITOR, cookie, cookie_name, token_for
from harness.errors import UsageError
from harness.model.definitions import WordingFile
from harness.presentation import Presentation, Wording
from harness.reading.parsing import parse
from harness.system.printable import visible

LANGUAGES = ("zh", "en")
_ZONE = datetime.timezone(datetime.timedelta(hours=8))
STATIC = {
    "desk.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
}


class Pages:
    """The templates and the words of a desk; a center's own ``reports/desk`` wins over what is shipped."""

    def __init__(self, presentation: Presentation) -> None:
        self.folders = tuple(folder / "desk" for folder in presentation.folders)
        self.words = _words(self.folders)
        self.environment = SandboxedEnvironment(
            loader=jinja2.FileSystemLoader(self.folders),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.environment.filters.update(moment=moment, size=size)
        self.environment.globals.update(
            states=flow.STATES, reasons=flow.REASONS, kinds=forms.KINDS, industries=forms.INDUSTRIES, roles=flow.ROLES
        )
        self.static = {name: _read(self.folders, name) for name in STATIC}

    def word(self, language: str) -> Callable[[str], str]:
        """``t("group.word")`` of a template."""
        number = LANGUAGES.index(language)

        def text(key: str) -> str:
            group, _, word = key.partition(".")
            return self.words(group, word)[number]

        return text


def _words(folders: tuple[Path, ...]) -> Wording:
    known: dict[str, dict[str, tuple[str, str]]] = {}
    for folder in reversed(folders):
        if (path := folder / "wording.yaml").is_file():
            for group, words in parse(path, WordingFile).root.items():
                known.setdefault(group, {}).update({word: (text.zh, text.en) for word, text in words.items()})
    return Wording(known)


def _read(folders: tuple[Path, ...], name: str) -> bytes:
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    raise UsageError(f"no file {name} in {folders[-1]}", advice="install the harness again")


def moment(value: Any) -> str:
    """A time for people: that of China, to the minute."""
    when = datetime.datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{when.astimezone(_ZONE):%Y-%m-%d %H:%M}"


def size(count: int) -> str:
    """A number of bytes for people."""
    for unit, bytes_of in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= bytes_of:
            return f"{count / bytes_of:.1f} {unit}"
    return f"{count} B"


def language_of(request: Request) -> str:
    """Chinese unless the reader chose English."""
    chosen = cookie(request, LANGUAGE)
    return chosen if chosen in LANGUAGES else LANGUAGES[0]


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page, or a piece of one, as the template makes it of ``values``."""
    pages: Pages = request.app.state.pages
    language = language_of(request)
    actor: Actor = getattr(request.state, "actor", None) or Actor()
    token = token_for(request)
    text = pages.environment.get_template(template).render(
        t=pages.word(language),
        lang=language,
        me=actor,
        token=token,
        here=request.url.path,
        **visible(values),
    )
    answer = HTMLResponse(text, status)
    if visitor := getattr(request.state, "visitor", ""):
        set_cookie(request, answer, VISITOR, visitor)
    return answer


def set_cookie(request: Request, answer: Response, name: str, value: str, *, seconds: int | None = None) -> None:
    """Set one of our cookies: for this host alone, out of reach of scripts, never sent by other sites' forms."""
    answer.set_cookie(
        cookie_name(request, name),
        value,
        max_age=seconds,
        path="/",
        secure=request.app.state.secure,
        httponly=True,
        samesite="lax",
    )


def forget(request: Request, answer: Response, name: str) -> None:
    """Take a cookie back."""
    answer.delete_cookie(
        cookie_name(request, name), path="/", secure=request.app.state.secure, httponly=True, samesite="lax"
    )


def go(path: str) -> RedirectResponse:
    """To another page, after a form."""
    return RedirectResponse(path, 303)


def local(path: str) -> str:
    """A path of this desk; the first page where it is anything else."""
    good = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if good else "/"


def download(name: str, data: bytes) -> Response:
    """Bytes that a browser keeps, and neither shows nor runs."""
    return Response(data, media_type="application/octet-stream", headers=attachment(name))


def attachment(name: str) -> dict[str, str]:
    """Headers of what comes from a vendor, or from a test of its product."""
    from urllib.parse import quote

    return {
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "X-Content-Type-Options": "nosniff",
    }


def refusal_page(request: Request, refusal: Refusal) -> Response:
    """What a person sees of a refusal."""
    if refusal.status == 401 and refusal.word == "login_needed":
        if request.headers.get("hx-request"):
            return Response(status_code=401, headers={"HX-Redirect": "/login"})
        from urllib.parse import quote

        wanted = request.url.path if request.method == "GET" else "/"
        return go(f"/login?next={quote(wanted, safe='/')}")
    if refusal.word == "must_change":
        return go("/password")
    return page(request, "message.html.j2", refusal.status, refusal=refusal.word, faults=refusal.faults, detail="")


__all__ = ["DEVICE", "SESSION", "Pages", "attachment", "download", "forget", "go", "local", "page", "set_cookie"]
