"""Answers in JSON, errors among them: one form for all, whatever went wrong."""

from __future__ import annotations

import errno
import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from sdcpu import errors
from sdcpu.errors import SdcpuError

logger = logging.getLogger("sdcpu.server")

_STATUS: tuple[tuple[type[SdcpuError], int], ...] = (
    (errors.RequestTooLargeError, 413),
    (errors.InvalidRequestError, 422),
    (errors.ModelNotDownloadedError, 403),
    (errors.ModelError, 422),
    (errors.NotEnoughMemoryError, 422),
    (errors.QueueFullError, 429),
    (errors.JobNotFoundError, 404),
    (errors.JobConflictError, 409),
    (errors.CancelledError, 409),
    (errors.SdcpuError, 503),
)
"""The first class that an error belongs to decides."""

_CODES = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
}
_SHOWN_PROBLEMS = 5
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
_SECONDS_TO_ROOM = 60


class JsonAnswer(JSONResponse):
    """JSON in ASCII, which carries any text that JSON can bring in, halves of pairs too."""

    def render(self, content: Any) -> bytes:
        """Write the content; what is no number becomes null."""
        return json.dumps(_finite(content), allow_nan=False, separators=(",", ":")).encode()


class Problem(Exception):  # noqa: N818 - an answer to be given, not an error of ours
    """An answer other than the wanted one, raised where it is found."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        hint: str = "",
        headers: Mapping[str, str] | None = None,
        *,
        parameter: str | None = None,
    ) -> None:
        """`parameter` is the value of the request that is wrong, where it is one."""
        super().__init__(message)
        self.parameter = parameter
        self.status = status
        self.code = code
        self.message = message
        self.hint = hint
        self.headers = dict(headers or {})


def answer_of(problem: Problem, path: str) -> JsonAnswer:
    """A problem in the form that belongs to the API at this path.

    >>> answer_of(Problem(404, "not_found", "There is no such job."), "/api/v1/jobs/1").body
    b'{"error":{"code":"not_found","message":"There is no such job.","hint":""}}'
    """
    if path.startswith("/v1/"):
        return _openai_answer(problem)
    if path.startswith("/sdapi/"):
        said = _in_one(problem)
        content: Any = {"error": problem.code, "detail": said, "body": "", "errors": said}
    else:
        told = {"code": problem.code, "message": problem.message, "hint": problem.hint}
        content = {"error": told}
    return JsonAnswer(content, status_code=problem.status, headers=problem.headers)


def status_of(error: SdcpuError) -> int:
    """The HTTP status that an error of ours is answered with."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def headers_of(error: SdcpuError) -> dict[str, str]:
    """The headers that belong to an error: when to come again."""
    seconds = getattr(error, "retry_after_seconds", None)
    return {} if seconds is None else {"Retry-After": str(max(1, math.ceil(seconds)))}


def problem_of(error: Exception) -> Problem:
    """What to answer to any exception; one that nobody expected is logged with its traceback."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, SdcpuError):
        headers = headers_of(error)
        return Problem(status_of(error), error.code, error.message, error.hint, headers)
    if isinstance(error, RequestValidationError):
        return _validation_problem(error.errors())
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "http")
        return Problem(error.status_code, code, str(error.detail), headers=error.headers)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        logger.warning("Nothing can be stored: %s", error.strerror)
        return Problem(
            503,
            errors.QueueFolderError.code,
            f"The server cannot store anything: {error.strerror}.",
            "Come again when there is room on its disk.",
            {"Retry-After": str(_SECONDS_TO_ROOM)},
        )
    logger.error("An error that nobody expected", exc_info=error)
    return Problem(
        500,
        "internal",
        f"The server made a mistake ({type(error).__name__}).",
        "The terminal in which it runs shows where.",
    )


def answer_errors(app: FastAPI) -> None:
    """Let an application answer every error in our form."""

    async def answer(request: Request, error: Exception) -> Response:
        problem = problem_of(error)
        if isinstance(error, SdcpuError):
            discretion = request.app.state.queue.discretion
            problem.message = discretion.sentence(problem.message)
            problem.hint = discretion.sentence(problem.hint)
        return answer_of(problem, request.url.path)

    kinds = (Problem, SdcpuError, RequestValidationError, HTTPException, OSError, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, answer)


def _openai_answer(problem: Problem) -> JsonAnswer:
    """As OpenAI's servers answer: its clients choose their exception by the status."""
    kind = "server_error" if problem.status >= 500 else "invalid_request_error"
    status = 400 if problem.status in (415, 422) else problem.status
    code = problem.code
    if code == errors.UnknownModelError.code:
        status, code = 404, "model_not_found"
    error = {
        "message": _in_one(problem),
        "type": kind,
        "param": problem.parameter,
        "code": code,
    }
    return JsonAnswer({"error": error}, status_code=status, headers=problem.headers)


def _in_one(problem: Problem) -> str:
    return f"{problem.message} {problem.hint}".strip()


def _validation_problem(problems: Sequence[Mapping[str, Any]]) -> Problem:
    if any(problem["loc"][:1] == ("path",) for problem in problems):
        return Problem(404, "not_found", "There is nothing at this address.")
    if any(problem["type"] == "json_invalid" for problem in problems):
        return Problem(400, "bad_request", "The body is not JSON.", "Send a JSON object.")
    said = [
        f"{'.'.join(map(str, problem['loc'][1:])) or 'body'}: {problem['msg']}"
        for problem in problems[:_SHOWN_PROBLEMS]
    ]
    return Problem(
        422,
        "invalid_request",
        "; ".join(said)[:1000] + ".",
        "/openapi.json says what is taken.",
        parameter=str(problems[0]["loc"][-1])[:100],
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value
