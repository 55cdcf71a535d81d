"""How large a circuit may be: sizes are refused by arithmetic, before anything is built."""

from numbers import Integral

from qiskit_fedqml.errors import CircuitError

MOST_QUBITS = 2_000
"""Qubits of a circuit; the largest devices have some 1,200."""
MOST_GATES = 50_000
"""Instructions of a circuit, loops written out; describing that many takes some seconds, compiling them minutes."""
MOST_TERMS = 4**10
"""Pauli terms of an observable, as many as an operator on ten qubits has."""


def check_count(name: str, value: object) -> None:
    """Refuse an argument that is not a whole number from 1.

    Raises:
        CircuitError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise CircuitError(f"Argument `{name}` must be a whole number, but got {value!r:.80}.")
    if value < 1:
        raise CircuitError(f"Argument `{name}` must be at least 1, but got {in_words(int(value))}.")


def check_qubits(num_qubits: int) -> None:
    """Refuse a number of qubits that no circuit here can have.

    Raises:
        CircuitError: There are more than ``MOST_QUBITS``.
    """
    if num_qubits > MOST_QUBITS:
        raise CircuitError(
            f"A circuit must have at most {MOST_QUBITS:,} qubits, but this one would have {in_words(num_qubits)}."
        )


def check_gates(num_gates: int) -> None:
    """Refuse a number of instructions that no circuit here can have.

    Raises:
        CircuitError: There are more than ``MOST_GATES``.
    """
    if num_gates > MOST_GATES:
        raise CircuitError(
            f"A circuit must have at most {MOST_GATES:,} gates, but this one would have {in_words(num_gates)}."
        )


def in_words(number: int) -> str:
    """Write a whole number for a message; Python refuses to print very long ones."""
    if abs(number) < 10**24:
        return f"{number:,}"
    return f"about {'-' if number < 0 else ''}10^{int(number.bit_length() * 0.30103)}"
