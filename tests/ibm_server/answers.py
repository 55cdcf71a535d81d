"""A request that arrived, and the answer to it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import parse_qs


@dataclass(frozen=True)
class Request:
    """A request: `path` without the API's prefix and without the query."""

    method: str
    path: str
    headers: Mapping[str, str]
    query_text: str = ""
    body: bytes = b""

    @property
    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.query_text)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}

    @cached_property
    def data(self) -> dict:
        return json.loads(self.body or b"{}")

    def parameter(self, name: str, default: str | None = None) -> str | None:
        """Return the first value of a query parameter."""
        return self.query.get(name, [default])[0]


@dataclass(frozen=True)
class Answer:
    """An answer: a dict is sent as JSON, a string as plain text."""

    status: int
    body: dict | str | None = None
    delivered: Callable[[], None] | None = None
    """Called once the last byte has been handed over."""

    @property
    def content_type(self) -> str:
        return "application/json" if isinstance(self.body, dict) else "text/plain; charset=utf-8"

    @property
    def content(self) -> bytes:
        if self.body is None:
            return b""
        return (json.dumps(self.body) if isinstance(self.body, dict) else self.body).encode()


def refusal(status: int, code: int | str, message: str) -> Answer:
    """Return an answer in the form of the API's errors."""
    error = {"code": code, "message": message, "solution": "", "more_info": "https://quantum.cloud.ibm.com/docs/errors"}
    return Answer(status, {"errors": [error], "trace": "0" * 20})
