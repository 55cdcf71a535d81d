"""How much a command says: options that every command has, before its name or after it."""

import functools
import inspect
import logging
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, Any, TextIO

import typer
from typer.core import TyperCommand
from typer.models import ArgumentInfo

from qiskit_fedqml.errors import ConfigurationError

_VERBOSITY: ContextVar[int] = ContextVar("verbosity", default=0)
_LEVELS = {1: logging.INFO, 2: logging.DEBUG}
_QUIET = -1

QuietOption = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No progress and no summary: only the result, and what went wrong."),
]
VerboseOption = Annotated[
    int,
    typer.Option(
        "--verbose",
        "-v",
        count=True,
        metavar="",
        show_default=False,
        help="Say as lines what is done, phase by phase, with the log; -vv logs more.",
    ),
]
_OPTIONS: dict[str, tuple[Any, Any]] = {"quiet": (QuietOption, False), "verbose": (VerboseOption, 0)}


class HelpfulCommand(TyperCommand):
    """A command whose arguments keep their help, which typer before 0.21 loses to click from 8.5 on."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        annotations = getattr(self.callback, "__annotations__", {})
        for parameter in self.params:
            if parameter.param_type_name == "argument" and not getattr(parameter, "help", None):
                known = getattr(annotations.get(parameter.name), "__metadata__", ())
                text = next((one.help for one in known if isinstance(one, ArgumentInfo)), None)
                parameter.help = text


def with_verbosity(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has the options ``--quiet`` and ``--verbose`` too, of which its function knows nothing."""

    @functools.wraps(command)
    def talking(*args: Any, quiet: bool, verbose: int, **kwargs: Any) -> None:
        set_verbosity(quiet=quiet, verbose=verbose)
        command(*args, **kwargs)

    own = inspect.signature(command)
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=option)
        for name, (option, default) in _OPTIONS.items()
    ]
    talking.__signature__ = own.replace(parameters=[*own.parameters.values(), *added])  # type: ignore[attr-defined]
    talking.__annotations__ = {**command.__annotations__, **{name: option for name, (option, _) in _OPTIONS.items()}}
    return talking


def reset_verbosity() -> None:
    """Let a program say as much as it does without options."""
    _VERBOSITY.set(0)


def set_verbosity(*, quiet: bool, verbose: int) -> None:
    """Take options, after those that were given before.

    Raises:
        ConfigurationError: Both are given.
    """
    asked = [*([_VERBOSITY.get()] if _VERBOSITY.get() else []), *([_QUIET] if quiet else [])]
    asked += [min(verbose, max(_LEVELS))] if verbose else []
    if len({level < 0 for level in asked}) > 1:
        raise ConfigurationError("--quiet and --verbose exclude each other.")
    if asked:
        _VERBOSITY.set(asked[-1])
    if verbose:
        logger = logging.getLogger("qiskit_fedqml")
        logger.setLevel(_LEVELS[min(verbose, max(_LEVELS))])
        if not any(isinstance(handler, _ToStandardError) for handler in logger.handlers):
            logger.addHandler(_ToStandardError())
            logger.propagate = False


def is_quiet() -> bool:
    """Return whether nothing but the result is to be shown."""
    return _VERBOSITY.get() == _QUIET


def is_verbose() -> bool:
    """Return whether all that is done is to be shown, as lines."""
    return _VERBOSITY.get() > 0


class _ToStandardError(logging.StreamHandler[TextIO]):
    """Writes to whatever the standard error is at the time."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, value: TextIO) -> None:
        pass
