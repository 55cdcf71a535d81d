"""A digest of how a question is asked, by which a replay knows its own jobs."""

from hashlib import sha256

from qiskit_fedqml.backends.devices.question import Question
from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry
from qiskit_fedqml.config.gradient import RandomShifts, Spsa

_KEYS = (
    *("device", "factory", "arguments", "shots", "primitive", "rep_delay_seconds", "resilience_level"),
    *("mitigation", "options", "gradient"),
)
"""Keys of entries that change what a job answers, in the order in which journals have them."""
_IF_SET = ("rep_delay_seconds", "mitigation")
"""Those of them that journals have only where an entry of IBM's sets them."""


def fingerprint(entry: DeviceEntry, question: Question) -> str:
    """Return a digest of all but layout and calibration, which may change before a replay.

    Args:
        entry: The device's entry.
        question: What is asked.
    """
    # A provider's repetition delay changes only what is planned.
    left_out = {key for key in _IF_SET if not isinstance(entry, IBMEntry) or getattr(entry, key) is None}
    asked = entry.model_copy(update={"shots": entry.shots_of(is_test=question.key.is_test)})
    own = (asked.model_dump_json(include={key})[1:-1] for key in _KEYS if key not in left_out)
    is_drawn = isinstance(entry.gradient, (Spsa, RandomShifts))
    seeds = [asker.seed if is_drawn else None for asker in question.askers]
    seed = seeds[0] if len(seeds) == 1 else seeds
    outputs = len(question.program.observables)
    settings = f"{{{','.join(filter(None, own))}}} {question.jacobian} {seed} {outputs}"
    return sha256(settings.encode()).hexdigest()
