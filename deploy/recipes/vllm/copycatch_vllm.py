"""vLLM's request log as JSON that names the account: a middleware and a formatter, without more packages.

How to start vLLM with them stands in README.md.
"""

import contextvars
import datetime as dt
import json
import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

HEADER = os.environ.get("COPYCATCH_ACCOUNT_HEADER", "x-account-id").lower().encode()
_account: contextvars.ContextVar[str | None] = contextvars.ContextVar("account", default=None)


class Account:
    """Remembers who asks while a request is served; the gateway in front must overwrite the header."""

    def __init__(self, app: Callable[..., Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        """Serve one request."""
        values = [value for name, value in scope.get("headers", ()) if name.lower() == HEADER]
        _account.set(values[-1].decode("utf-8", "replace") if values else None)
        await self._app(scope, receive, send)


class JsonFormatter(logging.Formatter):
    """A line of JSON for each message."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, message and account."""
        at = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line = {"timestamp": at, "level": record.levelname, "message": record.getMessage()}
        if _account.get() is not None:
            line["account_id"] = _account.get()
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)
