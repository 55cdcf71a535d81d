"""What qiskit-ibm-runtime raises, mapped once to what the package does about it.

=====================================  ====================================================================
 raised                                 becomes
=====================================  ====================================================================
 401, 403, IBMNotAuthorizedError        BackendError: the account is refused; nothing is tried again
 429                                    RateLimitedError: not accepted; tried again later
 409 about usage                        BudgetError: the account's limit is reached
 a closed session or batch              BatchClosedError: another one is opened
 other 4xx, invalid input               BackendError: what was sent is wrong
 5xx, no answer, a broken connection    UnreachableError: the outcome is unknown; looked up before anything is sent
=====================================  ====================================================================

The library puts the status of a refused submission into the error's text alone, so it is read from there.
"""

import os
import re
from collections.abc import Callable
from json import JSONDecodeError
from typing import TypeVar

from qiskit_fedqml.backends.devices.machine import BatchClosedError, MissingError, RateLimitedError, UnreachableError
from qiskit_fedqml.backends.devices.watchdog import NoAnswerError
from qiskit_fedqml.errors import BackendError, BudgetError, FedQMLError

Answer = TypeVar("Answer")

_NO_ACCOUNT = (
    "There is no IBM Quantum account. Save one with QiskitRuntimeService.save_account, or set QISKIT_IBM_TOKEN"
)
_REFUSED_OR_DOWN = "the account is refused, or the identity service is down"
_NO_ANSWER = (JSONDecodeError, OSError, KeyError)  # KeyError: an answer without what it must hold
_LONGEST_TEXT = 400
_STATUS = re.compile(r"\b([45]\d\d) (?:Client|Server) Error")
_CLOSED = re.compile(r"\b(?:session|batch)\b.{0,60}\bclosed\b|\bclosed\b.{0,60}\b(?:session|batch)\b", re.I | re.S)
_SECRETS = (
    re.compile(r"(?<=Bearer )[^\s'\",]+", re.IGNORECASE),
    re.compile(r"(?<=apikey[=:])[^\s'\"&,]+", re.IGNORECASE),
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


def translated(function: Callable[[], Answer], token: str | None = None) -> Answer:
    """Return what a function returns; what the library raises in it comes out as the package's own errors.

    Args:
        function: What to call.
        token: The account's token, which no text may show.
    """
    translation: Exception | None = None
    try:
        return function()
    except (FedQMLError, UnreachableError, RateLimitedError, BatchClosedError, NoAnswerError):
        raise
    except Exception as error:
        translation = translate(error, token)
        if translation is None:
            raise
    # Outside of the clause, so that the library's error, which holds the request with its headers, does not hang on.
    raise translation


def translate(error: Exception, token: str | None = None) -> Exception | None:
    """Return what an error of the library means here; None for an error that is not of its making."""
    from ibm_cloud_sdk_core import ApiException
    from qiskit.exceptions import QiskitError
    from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError, InvalidAccountError
    from qiskit_ibm_runtime.api.exceptions import RequestsApiError
    from qiskit_ibm_runtime.exceptions import IBMNotAuthorizedError, IBMRuntimeError, RuntimeJobNotFound
    from requests import RequestException

    text = redacted(" ".join(str(getattr(error, "message", error)).split()), token)
    text = text if len(text) <= _LONGEST_TEXT else text[:_LONGEST_TEXT] + "…"
    status = _status(error, text)
    known: list[tuple[bool, Exception]] = [
        (isinstance(error, AccountNotFoundError), BackendError(f"{_NO_ACCOUNT} ({text})")),
        (isinstance(error, InvalidAccountError), UnreachableError(f"{_REFUSED_OR_DOWN}: {text}")),
        (isinstance(error, IBMNotAuthorizedError), BackendError(f"The service refuses the account: {text}")),
        (isinstance(error, RuntimeJobNotFound), MissingError(f"The service knows no such job: {text}")),
        (bool(_CLOSED.search(text)) and (status is None or status < 500), BatchClosedError(text)),
        (status is not None, _by_status(status or 0, text)),
        (isinstance(error, (*_NO_ANSWER, RequestException, ApiException, IBMRuntimeError)), UnreachableError(text)),
        (isinstance(error, RequestsApiError), UnreachableError(text)),
        (isinstance(error, (QiskitError, ValueError, TypeError)), BackendError(_what_is_wrong(error) or text)),
    ]
    return next((translation for applies, translation in known if applies), None)


def _what_is_wrong(error: Exception) -> str | None:
    """Return what pydantic finds wrong with options, in one sentence; None for other errors."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return None
    wrong = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False)]
    return f"The estimator refuses its options: {'; '.join(wrong)}"


def _status(error: Exception, text: str) -> int | None:
    """Return the HTTP status of an error, or None where there was no answer or the error doesn't tell."""
    for value in (getattr(error, "status_code", None), getattr(error, "code", None)):
        if isinstance(value, int) and value > 0:
            return value
    found = _STATUS.search(text)
    return int(found[1]) if found else None


def _by_status(status: int, text: str) -> Exception:
    if status in (401, 403):
        return BackendError(f"The service refuses the account: {text}")
    if status == 404:
        return MissingError(f"The service knows nothing of it: {text}")
    if status == 429:
        return RateLimitedError(text)
    if status == 409 and "usage" in text.lower():
        return BudgetError(f"The account's usage limit is reached: {text}")
    return UnreachableError(text) if status >= 500 else BackendError(f"The service refuses the request: {text}")
