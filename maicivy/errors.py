"""The errors of the house: one small tree.

`ApiError` is for the client and becomes a JSON answer in one middleware; `OperatorError` is for
whoever runs the program and becomes one sentence on stderr with exit code 2.
"""

from __future__ import annotations

from http import HTTPStatus


class MaicivyError(Exception):
    """Root of every error that is raised on purpose."""


class OperatorError(MaicivyError):
    """The operator has to change something; the message is the sentence to show."""


class ConfigError(OperatorError):
    """A setting is missing or wrong; the message names its variable."""


class EmbeddedError(OperatorError):
    """An embedded server could not be found, started or attached to."""


class MigrationError(OperatorError):
    """The database's schema and the files under sql/migrations do not agree."""


class GrantRefused(OperatorError):
    """A share link or a token cannot be made: there are too many, or the name is taken."""


class StorageUnavailable(MaicivyError):
    """PostgreSQL or Redis cannot answer now; trying again later may succeed."""


class NotTried(StorageUnavailable):
    """There is no connection, so nothing was sent and nothing can have happened."""


class ApiError(MaicivyError):
    """An answer other than success: a sentence for a person and a stable code."""

    status = HTTPStatus.INTERNAL_SERVER_ERROR
    code = "internal_error"

    def __init__(
        self, message: str, *, code: str | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.headers = headers or {}


class InvalidRequest(ApiError):
    """400: a parameter, field or body the client must correct."""

    status = HTTPStatus.BAD_REQUEST
    code = "invalid_request"


class LoginRequired(ApiError):
    """401: this installation has a password, and nothing in the request stands for it."""

    status = HTTPStatus.UNAUTHORIZED
    code = "login_required"


class Forbidden(ApiError):
    """403: this origin, or this reader, may not do this."""

    status = HTTPStatus.FORBIDDEN
    code = "forbidden"


class NotFound(ApiError):
    """404: there is no such thing, or no longer."""

    status = HTTPStatus.NOT_FOUND
    code = "not_found"


class RequestTimeout(ApiError):
    """408: the body did not arrive in time."""

    status = HTTPStatus.REQUEST_TIMEOUT
    code = "request_timeout"


class Conflict(ApiError):
    """409: it cannot be done as things stand."""

    status = HTTPStatus.CONFLICT
    code = "conflict"


class BodyTooLarge(ApiError):
    """413: the body is over its limit."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    code = "body_too_large"


class UnsupportedMediaType(ApiError):
    """415: a content type, charset or content coding that is not understood."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    code = "unsupported_media_type"


class UpgradeRequired(ApiError):
    """426: the address speaks WebSocket only."""

    status = HTTPStatus.UPGRADE_REQUIRED
    code = "upgrade_required"


class RateLimited(ApiError):
    """429: too many requests from one client."""

    status = HTTPStatus.TOO_MANY_REQUESTS
    code = "rate_limited"


class Unavailable(ApiError):
    """503: a bound is reached or a dependency is gone; `Retry-After` says when to come back."""

    status = HTTPStatus.SERVICE_UNAVAILABLE
    code = "unavailable"

    def __init__(
        self, message: str, *, code: str | None = None, retry_after_seconds: int = 1
    ) -> None:
        super().__init__(message, code=code, headers={"Retry-After": str(retry_after_seconds)})
