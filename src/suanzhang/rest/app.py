"""The same verbs over HTTP: the same functions, the same JSON bodies, the same errors."""

from __future__ import annotations

import inspect
import json
import logging
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

import suanzhang
from suanzhang.app.question_schema import QuestionModel
from suanzhang.errors import Infeasible, InputError, PlannerError
from suanzhang.report.jsonable import to_text
from suanzhang.rest import bodies

Answered = Callable[[Callable[[], Any]], Awaitable[Response]]
_AT_ONCE = 2
_LOG = logging.getLogger(__name__)
_REF = "#/components/schemas/{model}"
_CLAIMS = {"type": "object", "description": "A claims file: `document` and `claims`."}


class ProtocolError(PlannerError):
    """An error of the protocol, such as an unknown route."""

    exit_code = 2
    kind = "input"


def status_of(error: PlannerError) -> int:
    """HTTP status of an error: 409 infeasible, 422 bad input, 500 internal."""
    if isinstance(error, Infeasible):
        return 409
    return 422 if isinstance(error, InputError) else 500


def create_app() -> FastAPI:
    """The application; ``/docs`` and ``/openapi.json`` document it."""
    app = FastAPI(
        title="suanzhang 算账",
        version=suanzhang.__version__,
        description="How many chips a large model needs, which ones, in which layout, when, and at what cost.",
    )
    limiter: list[anyio.CapacityLimiter] = []

    async def answered(work: Callable[[], Any]) -> Response:
        if not limiter:
            limiter.append(anyio.CapacityLimiter(_AT_ONCE))
        text = await run_sync(lambda: to_text(work()), limiter=limiter[0])
        return Response(text, media_type="application/json")

    _post_routes(app, answered)
    _get_routes(app, answered)
    _errors(app)
    app.openapi = partial(_openapi, app)  # type: ignore[method-assign]
    return app


def _documented(model: str, doc: str, title: str) -> dict[str, Any]:
    schema = {"$ref": _REF.format(model=model)} if model else _CLAIMS
    return {
        "summary": title,
        "description": doc,
        "openapi_extra": {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}},
        "responses": {
            409: {"description": "Infeasible: `binding` says what binds, `nearest` the nearest feasible point."},
            413: {"description": "The body is too large."},
            422: {"description": "Bad input: `error.message` and `error.fix`."},
            500: {"description": "Internal error."},
        },
    }


def _post_routes(app: FastAPI, answered: Answered) -> None:
    @app.post("/v1/train", **_documented("TrainBody", "Layout, step time, days, memory, energy, money.", "Plan a training"))
    async def train(request: Request) -> Response:
        named = bodies.arguments(await _raw(request), bodies.TrainBody)
        return await answered(lambda: suanzhang.train(**named))

    @app.post("/v1/serve", **_documented("ServeBody", "Chips, engine settings, latencies, cost, energy.", "Plan a service"))
    async def serve(request: Request) -> Response:
        named = bodies.arguments(await _raw(request), bodies.ServeBody)
        return await answered(lambda: suanzhang.serve(**named))

    @app.post("/v1/plan", **_documented("QuestionModel", "The whole question: the keys of a question file.", "Plan"))
    async def plan(request: Request) -> Response:
        question = bodies.question(await _raw(request))
        return await answered(lambda: suanzhang.plan(question))

    @app.post("/v1/buy", **_documented("QuestionModel", "The keys of a question file.", "Schedule purchases and rents"))
    async def buy(request: Request) -> Response:
        question = bodies.question(await _raw(request))
        return await answered(lambda: suanzhang.buy(question))

    @app.post("/v1/audit", **_documented("", "The keys of a claims file.", "Recompute claims"))
    async def audit(request: Request) -> Response:
        document = bodies.document_of(await _raw(request))
        return await answered(partial(_audit, document.value))

    @app.post("/v1/diff", **_documented("", "`before` and `after`: two answers of one verb.", _summary("diff")))
    async def diff(request: Request) -> Response:
        before, after = bodies.two_results(await _raw(request, 2 * bodies.MAX_RESULT_BYTES))
        return await answered(lambda: suanzhang.diff(before, after))

    for verb in (*bodies.PLAIN, *bodies.LAUNCHED):
        _plain_route(app, answered, verb)
    for verb in bodies.ASKED:
        _asked_route(app, answered, verb)
    for verb in bodies.FOLLOWED:
        _followed_route(app, answered, verb)
    for verb in bodies.SENT:
        _sent_route(app, answered, verb)


def _path(verb: str) -> str:
    return f"/v1/{verb.replace('_', '-')}"


def _summary(verb: str) -> str:
    """First line of what the function says of itself."""
    return (inspect.getdoc(getattr(suanzhang, verb)) or verb).partition("\n")[0].rstrip(".")


def _plain_route(app: FastAPI, answered: Answered, verb: str) -> None:
    @app.post(
        _path(verb), **_documented(bodies.body_of(verb).__name__, f"The arguments of `suanzhang.{verb}`.", _summary(verb))
    )
    async def route(request: Request) -> Response:
        named = bodies.arguments(await _raw(request), bodies.body_of(verb))
        return await answered(lambda: getattr(suanzhang, verb)(**named))


def _asked_route(app: FastAPI, answered: Answered, verb: str) -> None:
    @app.post(_path(verb), **_documented(bodies.body_of(verb).__name__, "A question and what is asked of it.", _summary(verb)))
    async def route(request: Request) -> Response:
        named = bodies.arguments(await _raw(request), bodies.body_of(verb))
        question = bodies.question(json.dumps(named.pop("question")).encode())
        return await answered(lambda: getattr(suanzhang, verb)(question, **named))


def _followed_route(app: FastAPI, answered: Answered, verb: str) -> None:
    @app.post(_path(verb), **_documented("", "`result`: what a verb answered, and what is asked of it.", _summary(verb)))
    async def route(request: Request) -> Response:
        named = bodies.result_of(await _raw(request, bodies.MAX_RESULT_BYTES), verb)
        return await answered(lambda: getattr(suanzhang, verb)(named.pop("result"), **named))


def _sent_route(app: FastAPI, answered: Answered, verb: str) -> None:
    doc = f"The arguments of `suanzhang.{verb}`; `{bodies.SENT[verb]}` is the text of the file itself."

    @app.post(_path(verb), **_documented(bodies.body_of(verb).__name__, doc, _summary(verb)))
    async def route(request: Request) -> Response:
        named, text, name = bodies.sent_file(await _raw(request, bodies.MAX_RESULT_BYTES), verb)
        return await answered(partial(_with_file, verb, named, text, name))


def _with_file(verb: str, named: dict[str, Any], text: str | None, name: str) -> Any:
    """A verb that reads a file, on the text that came in the body."""
    function = getattr(suanzhang, verb)
    if text is None:
        return function(**named)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_text(text, encoding="utf-8")
        try:
            return function(path, **named)
        except InputError as error:
            raise InputError(error.message.replace(str(path), "body"), fix=error.fix, details=error.details) from None


def _audit(claims: Any) -> Any:
    """The verb reads a file, so the body becomes one."""
    return _with_file("audit", {}, json.dumps(claims), "claims.json")


def _get_routes(app: FastAPI, answered: Answered) -> None:
    @app.get("/v1/version", summary="Version and catalog date")
    async def version() -> Response:
        from suanzhang.app.header import header

        return await answered(header)

    @app.get("/v1/catalog/{kind}", summary="Entries of a kind: chips, models, offers, markets, sites, sources, stacks, figures")
    async def catalog(kind: str) -> Response:
        return await answered(lambda: suanzhang.look_up(kind))

    @app.get("/v1/catalog/{kind}/{name:path}", summary="One entry, every value with its source")
    async def entry(kind: str, name: str) -> Response:
        bodies.refuse_path("id", name)
        return await answered(lambda: suanzhang.look_up(kind, name))


async def _raw(request: Request, most: int = bodies.MAX_BODY_BYTES) -> bytes:
    """The body, refused as soon as it is too large."""
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > most:
            raise HTTPException(413, f"the body is larger than {most // 1024} KiB")
        parts.append(part)
    return b"".join(parts)


def _errors(app: FastAPI) -> None:
    @app.exception_handler(PlannerError)
    async def planned(_: Request, error: PlannerError) -> JSONResponse:
        return JSONResponse(json.loads(json.dumps(error.body(), default=str)), status_code=status_of(error))

    @app.exception_handler(HTTPException)
    async def protocol(_: Request, error: HTTPException) -> JSONResponse:
        problem = ProtocolError(str(error.detail), fix="see /docs for the routes and their bodies")
        return JSONResponse(problem.body(), status_code=error.status_code, headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unforeseen(_: Request, error: Exception) -> JSONResponse:
        _LOG.error("internal error", exc_info=error)
        problem = PlannerError(f"internal error, {type(error).__name__}", fix="see the log of the server")
        return JSONResponse(problem.body(), status_code=500)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description with the schemas of all bodies."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        made = [bodies.body_of(verb) for verb in (*bodies.PLAIN, *bodies.ASKED, *bodies.LAUNCHED, *bodies.SENT)]
        kinds: tuple[type[BaseModel], ...] = (bodies.TrainBody, bodies.ServeBody, QuestionModel, *made)
        for kind in kinds:
            own = kind.model_json_schema(ref_template=_REF)
            schemas.update(own.pop("$defs", {}))
            schemas[kind.__name__] = own
        app.openapi_schema = schema
    return app.openapi_schema
