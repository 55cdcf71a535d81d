"""Mitigation on a device: the key `mitigation` as options of qiskit-ibm-runtime's estimators.

The library mitigates readout by TREX (E. van den Berg et al., arXiv:2012.09738): random flips before and after the
measurement make its error symmetric, and circuits without gates in the same job measure its factor for each qubit.
"""

from math import ceil
from typing import Any

from qiskit_fedqml.config.devices import IBMEntry

_SHOTS_A_FLIP = 256
"""Most shots with the same random flips, so that their noise exceeds what one draw leaves of the asymmetry."""
_CALIBRATION_SHOTS = 1024
"""Least executions of the circuits that calibrate the readout, which give its factor to about 1%."""


def options_of(entry: IBMEntry, shots: int, *, is_executor: bool, extrapolates: bool) -> dict[str, Any]:
    """Return an entry's options for the estimator, with its repetition delay and mitigation among them.

    Args:
        entry: The entry.
        shots: Shots of each circuit.
        is_executor: Whether they are the executor's, which twirls on this computer.
        extrapolates: Whether they are for a test, which may be extrapolated.
    """
    options, mitigation = dict(entry.options), entry.mitigation
    if entry.rep_delay_seconds is not None:
        options["execution"] = entry.execution_options | {"rep_delay": entry.rep_delay_seconds}
    if mitigation is None:
        return options
    resilience: dict[str, Any] = {}
    if mitigation.readout:
        resilience["measure_mitigation"] = True
        own = {"num_randomizations", "shots_per_randomization"} & set(options.get("twirling", {}))
        if is_executor and not own:
            # The library's own numbers would run at least 64 shots.
            flips = ceil(shots / _SHOTS_A_FLIP)
            each = ceil(shots / flips)
            numbers = {"num_randomizations": flips, "shots_per_randomization": each}
            options["twirling"] = {**options.get("twirling", {}), **numbers}
            resilience["measure_noise_learning"] = {"num_randomizations": max(flips, ceil(_CALIBRATION_SHOTS / each))}
    if mitigation.zne is not None and extrapolates:
        # With two factors the library's fits have no error bars, and its exponential may be infinite, so that the
        # values at each factor are taken from it.
        factors = [float(factor) for factor in mitigation.zne.factors]
        zne = {"amplifier": "gate_folding", "noise_factors": factors, "extrapolator": "fallback"}
        resilience |= {"zne_mitigation": True, "zne": zne}
    return options | ({"resilience": resilience} if resilience else {})
