"""The application of ASGI: routes, how refusals are answered, and the guard around all of it."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from harness import __version__
from harness.desk.office import Office
from harness.desk.refusing import Refusal
from harness.desk.web import accounts, api, everybody, issued, pages
from harness.desk.web.guarding import Guard, TooLarge
from harness.desk.web.rendering import Pages, page, refusal_page
from harness.errors import InfrastructureError


def routes(office: Office, origin: str) -> FastAPI:
    """The routes of a desk, without the guard.

    Raises:
        UsageError, DefinitionError: templates or words are missing or wrong.
    """
    app = FastAPI(
        title="xinchuang-harness desk",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        redirect_slashes=False,
    )
    app.state.office, app.state.pages = office, Pages(office.presentation)
    app.state.secure = origin.startswith("https:")
    for router in (pages.router, issued.router, accounts.router, everybody.router):
        app.include_router(router, include_in_schema=False)
    app.include_router(api.router)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(InfrastructureError, _away)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(TooLarge, _too_large)
    return app


def application(office: Office, origin: str) -> Guard:
    """The whole desk. Raises as ``routes``."""
    return Guard(routes(office, origin), origin=origin, most_upload=office.most_bytes)


def _api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    if not _api(request):
        return refusal_page(request, error)
    content = {"error": error.word, "faults": error.faults, "detail": error.detail}
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(content, error.status, headers=headers)


def _away(request: Request, error: Exception) -> Response:
    return _refused(request, Refusal(503, "away"))


def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    if not _api(request):
        return refusal_page(request, Refusal(404, "missing"))
    faults = {".".join(map(str, each["loc"])): str(each["msg"]) for each in error.errors()[:20]}
    return JSONResponse({"error": "form", "faults": faults, "detail": ""}, 422)


def _plain(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    word = {404: "missing", 405: "method"}.get(error.status_code, "malformed")
    if _api(request):
        return JSONResponse({"error": word, "faults": {}, "detail": ""}, error.status_code, headers=error.headers)
    return page(request, "message.html.j2", error.status_code, refusal=word, faults={}, detail="")


def _too_large(request: Request, error: Exception) -> Response:
    return PlainTextResponse("too large / 内容过大\n", 413)
