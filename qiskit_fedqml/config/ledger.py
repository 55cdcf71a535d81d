"""The schema of an experiment's key `ledger`: whether a signed chain proves what was aggregated."""

from typing import Literal

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.strict import Flag

Ledger = Flag | Literal["digests"]


def check_ledger(ledger: bool | str, algorithm: object, rule: object, device: str) -> None:
    """Check that whoever verifies a ledger can repeat what the server did.

    Args:
        ledger: True keeps the clients' updates, ``"digests"`` their digests alone.
        algorithm: That of the federation.
        rule: The aggregation rule.
        device: torch's, on which the server aggregates.

    Raises:
        ValueError: They cannot.
    """
    if not (algorithm == "synchronous" or isinstance(algorithm, Buffered)):
        raise ValueError("ledger can be kept of the algorithms synchronous and buffered, whose steps can be repeated")
    if ledger != "digests":
        if isinstance(rule, PythonReference):
            raise ValueError(
                "ledger: true repeats the rule when it is verified, which must not run code that a result folder "
                "names, such as a rule of your own; ledger: digests repeats nothing"
            )
        if device != "cpu":
            raise ValueError(
                f"ledger: true repeats the rule to the bit when it is verified, which other computers cannot with "
                f"model.device: {device}; ledger: digests repeats nothing"
            )
