"""How much a command says: options that every command has, before its name or after it."""

import logging
import sys
from typing import Any, TextIO

import click
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption
from typer.models import ArgumentInfo

_KEY = "qiskit_fedqml.verbosity"
_LEVELS = {1: logging.INFO, 2: logging.DEBUG}
_QUIET = -1


class TalkingCommand(TyperCommand):
    """A command with the options ``--quiet`` and ``--verbose``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _options()
        _give_help(self)


class TalkingGroup(TyperGroup):
    """The program, with the same options before a command's name."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += _options()


def _give_help(command: TyperCommand) -> None:
    """Give arguments their help again, which typer before 0.21 loses to click from 8.5 on."""
    annotations = getattr(command.callback, "__annotations__", {})
    for parameter in command.params:
        if isinstance(parameter, TyperArgument) and not parameter.help:
            known = getattr(annotations.get(parameter.name), "__metadata__", ())
            parameter.help = next((one.help for one in known if isinstance(one, ArgumentInfo)), None)


def _options() -> list[click.Parameter]:
    quiet = TyperOption(
        param_decls=["-q", "--quiet"],
        is_flag=True,
        expose_value=False,
        callback=_set_quiet,
        help="No progress and no summary: only the result, and what went wrong.",
    )
    verbose = TyperOption(
        param_decls=["-v", "--verbose"],
        count=True,
        metavar="",
        expose_value=False,
        callback=_set_verbose,
        help="Say as lines what is done, phase by phase, with the log; -vv logs more.",
    )
    return [quiet, verbose]


def is_quiet() -> bool:
    """Return whether nothing but the result is to be shown."""
    return _verbosity() == _QUIET


def is_verbose() -> bool:
    """Return whether all that is done is to be shown, as lines."""
    return _verbosity() > 0


def _verbosity() -> int:
    context = click.get_current_context(silent=True)
    return 0 if context is None else int(context.meta.get(_KEY, 0))


def _set_quiet(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        _set(context, _QUIET)


def _set_verbose(context: click.Context, parameter: click.Parameter, value: int) -> None:
    if value:
        _set(context, min(value, max(_LEVELS)))
        logger = logging.getLogger("qiskit_fedqml")
        logger.setLevel(_LEVELS[min(value, max(_LEVELS))])
        if not any(isinstance(handler, _ToStandardError) for handler in logger.handlers):
            logger.addHandler(_ToStandardError())
            logger.propagate = False


def _set(context: click.Context, verbosity: int) -> None:
    if context.meta.setdefault(_KEY, verbosity) * verbosity < 0:
        raise click.UsageError("--quiet and --verbose exclude each other.", context)
    context.meta[_KEY] = verbosity


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
