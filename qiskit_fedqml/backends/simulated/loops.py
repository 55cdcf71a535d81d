"""The sweeps' loops, which Numba compiles, or reads from disk, when they are first used."""

from collections.abc import Callable

_COMPILED: set[tuple[type, bool]] = set()
"""Kinds of programs, exact and with shots, whose loops this process has compiled."""


def compile_loops(program: object, shots: int | None, evaluate: Callable[..., object]) -> None:
    """Let the loops of a kind of program be compiled, once a process.

    Args:
        program: One of that kind; None, where Aer simulates, has no loops.
        shots: How many are drawn, in a loop of its own; None for exact values.
        evaluate: Evaluates such a program for one sample; takes ``jacobian``.
    """
    kind = type(program), shots is None
    if program is not None and kind not in _COMPILED:
        for jacobian in (False, True):
            evaluate(jacobian=jacobian)
        _COMPILED.add(kind)
