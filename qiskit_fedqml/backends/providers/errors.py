"""What providers' libraries raise, mapped once to what the package does about it.

Nobody knows all libraries, so only what most have in common is looked at: an HTTP status, and whether an error comes
from a connection. Whatever else is raised says that something is wrong with what was asked.

==========================================  ===============================================================
 raised                                      becomes
==========================================  ===============================================================
 429                                         RateLimitedError: not accepted; tried again later
 408, 425, 5xx, a broken connection          UnreachableError: the outcome is unknown; asked again
 everything else                             BackendError
==========================================  ===============================================================
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from qiskit_fedqml.backends.devices.machine import RateLimitedError, UnreachableError
from qiskit_fedqml.backends.devices.watchdog import NoAnswerError, call_within
from qiskit_fedqml.backends.ibm.errors import one_line
from qiskit_fedqml.errors import BackendError, FedQMLError

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_CONNECTIONS = frozenset({"requests", "urllib3", "httpx", "httpcore", "aiohttp", "grpc", "botocore"})
"""Libraries whose errors are those of a connection."""
_SECRET_NAME = re.compile(r"token|secret|password|key", re.IGNORECASE)
_SHORTEST_SECRET = 8
_OUTAGES = {408, 425}


def asked(device: str, what: str, question: Callable[[], Answer], seconds: float | None = None) -> Answer:
    """Return what a provider's library answers; what it raises comes out as the package's own errors.

    Args:
        device: The device's name.
        what: What it is asked to do, as errors name it.
        question: Asks.
        seconds: The longest that it may take; None is any time.

    Raises:
        UnreachableError: There is no answer.
        RateLimitedError: The service wants fewer requests.
        BackendError: It is not possible.
    """
    try:
        return question() if seconds is None else call_within(seconds, question, f"provider: {device}")
    except (FedQMLError, UnreachableError, RateLimitedError):
        raise
    except NoAnswerError as error:
        raise UnreachableError(f"the provider of {device} gives {error} when it is asked to {what}") from None
    except Exception as error:
        translation = _translated(error, device, what)
    # Outside of the clause, so that the library's error, which may hold the request with its headers, does not hang on.
    raise translation


def said(error: BaseException) -> str:
    """Return the kind and the text of a foreign error in one short line, without secrets and without a full stop."""
    text = str(getattr(error, "message", error))
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "…")
    line = one_line(text).rstrip(". ")
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _translated(error: Exception, device: str, what: str) -> Exception:
    text = f"{device} cannot {what} ({said(error)})"
    logger.debug("%s", text)
    status = next((found for one in _chain(error) if (found := _status(one)) is not None), None)
    if status == 429:
        return RateLimitedError(text)
    if status is not None:
        return UnreachableError(text) if status >= 500 or status in _OUTAGES else BackendError(f"{text}.")
    return UnreachableError(text) if any(map(_is_of_a_connection, _chain(error))) else BackendError(f"{text}.")


def _status(error: BaseException) -> int | None:
    """Return an HTTP status, wherever the usual libraries keep it."""
    response: Any = getattr(error, "response", None)
    of_amazon = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
    places = (
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(response, "status_code", None),
        of_amazon.get("HTTPStatusCode") if isinstance(of_amazon, dict) else None,
    )
    return next((p for p in places if isinstance(p, int) and not isinstance(p, bool) and 400 <= p < 600), None)


def _is_of_a_connection(error: BaseException) -> bool:
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, (ConnectionError, TimeoutError)) or not modules.isdisjoint(_CONNECTIONS)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__
