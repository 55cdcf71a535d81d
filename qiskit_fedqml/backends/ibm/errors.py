"""What qiskit-ibm-runtime raises, mapped once to what the package does about it.

==========================================  ===============================================================
 raised                                      becomes
==========================================  ===============================================================
 401, IBMNotAuthorizedError                  RefusedError: a new login, then asked again
 the identity service refuses the key        RefusedError
 403                                         ForbiddenError: asked again, where it was allowed before
 429                                         RateLimitedError: not accepted; tried again later
 409 about usage                             AccountLimitError: the account's limit is reached
 a closed session or batch                   BatchClosedError: another one is opened
 404                                         MissingError
 408, 425, 5xx, a broken connection          UnreachableError: the outcome is unknown; looked up, then tried again
 other 4xx, input that the library refuses   BackendError: what was sent is wrong
 everything else                             UnreadableError: the answer is malformed; asked for again
==========================================  ===============================================================

Texts are ours; of a foreign one only the service's own message is passed on, or what the library says of an input.
What was raised is logged for debugging, without secrets. The library puts the status of a refused submission into the
error's text alone, so it is read from there.
"""

import logging
import os
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from json import JSONDecodeError
from typing import TypeVar

from qiskit_fedqml.backends.devices.machine import (
    BatchClosedError,
    ForbiddenError,
    MissingError,
    RateLimitedError,
    RefusedError,
    UnreachableError,
    UnreadableError,
)
from qiskit_fedqml.backends.devices.watchdog import NoAnswerError
from qiskit_fedqml.errors import AccountLimitError, BackendError, FedQMLError

logger = logging.getLogger(__name__)
Answer = TypeVar("Answer")

_NO_ACCOUNT = (
    "There is no IBM Quantum account. Save one with QiskitRuntimeService.save_account, or set QISKIT_IBM_TOKEN, with a "
    "token made at https://quantum.cloud.ibm.com; a fake device, such as `device: FakeFez`, rehearses without one"
)
_LONGEST_TEXT = 400
_OUTAGES = {408, 425}
"""Statuses below 500 that say nothing against the request."""
_STATUS = re.compile(r"\b([45]\d\d) (?:Client|Server) Error")
_MESSAGE = re.compile(r'"(?:message|errorMessage)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_CLOSED = re.compile(r"\b(?:session|batch)\b.{0,60}\bclosed\b|\bclosed\b.{0,60}\b(?:session|batch)\b", re.I | re.S)
_SECRETS = (
    re.compile(r"(?<=Bearer )[^\s'\",]+", re.IGNORECASE),
    re.compile(r"(?<=apikey[=: ])[^\s'\"&,]+", re.IGNORECASE),
    re.compile(r"(?<=apikey': ')[^']+", re.IGNORECASE),
    re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"),  # a JSON web token
)


def redacted(text: str, token: str | None = None) -> str:
    """Return a text without the account's token, and without anything that looks like one."""
    for secret in {token, os.environ.get("QISKIT_IBM_TOKEN")} - {None, ""}:
        text = text.replace(str(secret), "…")
    for pattern in _SECRETS:
        text = pattern.sub("…", text)
    return text


def one_line(text: str, token: str | None = None) -> str:
    """Return a foreign text in one line, without secrets, cut where it is long."""
    line = redacted(" ".join(text.split()), token)
    return line if len(line) <= _LONGEST_TEXT else line[:_LONGEST_TEXT] + "…"


def translated(function: Callable[[], Answer], token: str | None = None, *, checks_input: bool = False) -> Answer:
    """Return what a function returns; what the library raises in it comes out as the package's own errors.

    Args:
        function: What to call.
        token: The account's token, which no text may show.
        checks_input: Whether the library checks the package's input in it, so that an error of value is about that.
    """
    try:
        return function()
    except (FedQMLError, UnreachableError, RateLimitedError, BatchClosedError, NoAnswerError):
        raise
    except Exception as error:
        translation = translate(error, token, checks_input=checks_input)
    # Outside of the clause, so that the library's error, which holds the request with its headers, does not hang on.
    raise translation


def translate(error: Exception, token: str | None = None, *, checks_input: bool = False) -> Exception:
    """Return what an error of the library means here."""
    from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError, InvalidAccountError
    from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, RuntimeJobNotFound

    whole = redacted(str(getattr(error, "message", error)), token)
    text = one_line(whole)
    logger.debug("%s: %s", type(error).__name__, text)
    if isinstance(error, AccountNotFoundError):
        return BackendError(f"{_NO_ACCOUNT} ({text.rstrip('.')}).")
    if isinstance(error, InvalidAccountError):
        return _of_login(error, text, token)
    status = _status(error, whole)
    status = 401 if isinstance(error, IBMNotAuthorizedError) else status
    status = 404 if isinstance(error, RuntimeJobNotFound) else status
    if _CLOSED.search(whole) and (status is None or status < 500):
        return BatchClosedError("the batch or session is closed")
    if status is not None:
        return _by_status(status, whole)
    return _without_status(error, text, checks_input=checks_input)


def _by_status(status: int, text: str) -> Exception:
    says = _what_it_says(status, text)
    if status in (401, 403):
        return (RefusedError if status == 401 else ForbiddenError)(f"the service refuses the account ({says})")
    if status == 404:
        return MissingError(f"the service knows nothing of it ({says})")
    if status == 429:
        return RateLimitedError(f"the service wants fewer requests ({says})")
    if status == 409 and "usage" in text.lower():
        return AccountLimitError(f"the account's usage limit is reached ({says}).")
    if status >= 500 or status in _OUTAGES:
        return UnreachableError(f"the service is out of order ({says})")
    return BackendError(f"the service refuses the request ({says}).")


def _without_status(error: Exception, text: str, *, checks_input: bool) -> Exception:
    """Return what an error means that is no answer with a status: of the network, of input, or of an answer."""
    from pydantic import ValidationError
    from qiskit.exceptions import QiskitError
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError
    from qiskit_ibm_runtime.exceptions import IBMApiError, IBMBackendError, IBMInputValueError, IBMRuntimeError
    from requests import RequestException

    if isinstance(error, (JSONDecodeError, IBMBackendError, IBMApiError)):
        return UnreadableError(f"the service's answer cannot be read ({type(error).__name__})")
    if isinstance(error, (OSError, RequestException, RequestsApiError, IBMRuntimeError)):
        return UnreachableError(f"the service gives no answer{_why_not(error)}")
    if checks_input and isinstance(error, ValidationError):
        wrong = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)]
        return BackendError(f"the estimator refuses its options: {'; '.join(wrong)}.")
    if isinstance(error, IBMInputValueError) or (checks_input and isinstance(error, QiskitError)):
        return BackendError(f"qiskit-ibm-runtime refuses what it was given: {text.rstrip('.')}.")
    if checks_input and isinstance(error, ValueError):
        return BackendError(f"qiskit-ibm-runtime refuses what it was given ({type(error).__name__}).")
    return UnreadableError(f"the service's answer cannot be read ({type(error).__name__})")


def _of_login(error: Exception, text: str, token: str | None) -> Exception:
    """Return what an InvalidAccountError means: wrong settings, a refused key, or an identity service that is down."""
    from ibm_cloud_sdk_core import ApiException
    from requests import RequestException

    cause = error.__cause__
    if cause is None:  # found before anything was asked; the text may quote the token
        about = "its token" if "token" in text else text.rstrip(".")
        return BackendError(f"the account's settings are not valid: {about}.")
    if isinstance(cause, ApiException):
        status = int(cause.status_code)
        says = f"{status}: {one_line(str(cause.message), token).rstrip('.')}"
        if status == 429:
            return RateLimitedError(f"the identity service wants fewer requests ({says})")
        if status >= 500 or status in _OUTAGES:
            return UnreachableError(f"the identity service is out of order ({says})")
        return RefusedError(f"the identity service refuses the account's key ({says})")
    if isinstance(cause, (OSError, RequestException)):
        return UnreachableError(f"the identity service gives no answer{_why_not(cause)}")
    return UnreadableError(f"the identity service's answer cannot be read ({type(cause).__name__})")


def _what_it_says(status: int, text: str) -> str:
    """Return a status with the service's own message, or with the status's usual words."""
    found = _MESSAGE.search(text)
    if found and found[1]:
        return f"{status}: {one_line(found[1]).rstrip('.')}"
    try:
        return f"{status}: {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _why_not(error: BaseException) -> str:
    """Return why there was no answer, as the end of a sentence."""
    from requests import exceptions

    kinds = (
        (exceptions.SSLError, "its certificate cannot be verified"),
        (exceptions.ProxyError, "the proxy does not let the request pass"),
        ((exceptions.Timeout, TimeoutError), "it takes too long"),
        ((exceptions.ConnectionError, ConnectionError), "the connection fails or breaks off"),
    )
    for one in _chain(error):
        for kind, why in kinds:
            if isinstance(one, kind):
                return f", since {why}"
    return f" ({type(error).__name__})"


def _status(error: Exception, text: str) -> int | None:
    """Return the HTTP status of an error, or None where there was no answer or the error doesn't have it."""
    for one in _chain(error):
        for value in (getattr(one, "status_code", None), getattr(one, "code", None)):
            if isinstance(value, int) and value > 0:
                return value
    found = _STATUS.search(text)
    return int(found[1]) if found else None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it came from, also where the library hides them."""
    seen: list[BaseException] = []
    one: BaseException | None = error
    while one is not None and one not in seen:
        seen.append(one)
        yield one
        one = one.__cause__ or one.__context__
