"""Shots: outcomes drawn from the joint distribution of the measured qubits, for many circuits at once.

NumPy's ``multinomial`` would do, but was a third of a training step with 1,024 shots. Binomial numbers come from the
transformed rejection algorithm BTRS of W. Hörmann, "The generation of binomial random variates", J. Stat. Comput.
Simul. 46, 101 (1993), and by inversion where fewer than 10 are expected. Its proposals are made for all circuits
together, in loops that fill the processor's vector registers; two thirds are accepted at once.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.circuits.compiling import compiled


def frequencies(probabilities: NDArray[np.float64], shots: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw each circuit's outcomes on its own, and return their relative frequencies.

    Args:
        probabilities: Shape (…, outcomes); rounding errors below 0, and of the sum, are taken out.
        shots: Shots of each circuit.
        rng: Draws them: the first outcome of each circuit, the second of each, and so on.

    Returns:
        The probabilities' shape.
    """
    flat = np.ascontiguousarray(probabilities.reshape(-1, probabilities.shape[-1]))
    if shots > _MOST_TABULATED:
        clipped = np.clip(flat, 0.0, None)
        drawn = rng.multinomial(shots, clipped / clipped.sum(axis=1, keepdims=True))
        return (drawn / shots).reshape(probabilities.shape)
    result = np.empty_like(flat)
    uniforms = rng.random((flat.shape[1] - 1, 2, len(flat)))
    _multinomial(rng, uniforms, flat, shots, _log_factorials(shots), result)
    return result.reshape(probabilities.shape)


_MOST_TABULATED = 1 << 16
"""Shots up to which factorials are tabulated; for more, NumPy draws."""


@lru_cache(maxsize=16)
def _log_factorials(largest: int) -> NDArray[np.float64]:
    """Return ln k! for k up to the largest."""
    from scipy.special import gammaln  # only where shots are drawn: it takes a fifth of a second to import

    return np.asarray(gammaln(np.arange(1.0, largest + 2.0)))


@compiled
def _constants(n, p):
    """Return a, b, the centre and the acceptance threshold of BTRS."""
    b = 1.15 + 2.53 * np.sqrt(n * p * (1.0 - p))
    return -0.0873 + 0.0248 * b + 0.01 * p, b, n * p + 0.5, 0.92 - 4.2 / b


@compiled
def _binomial(rng, n, p, v, u, log_factorials):
    """Draw the number of successes of n trials with probability p of at most a half, first from uniform v and u."""
    q = 1.0 - p
    if n * p < 10.0:
        # Inversion: go through the distribution function from 0 on.
        probability = np.exp(n * np.log1p(-p))
        k, odds = 0, p / q
        while v > probability and k < n:
            v -= probability
            k += 1
            probability *= odds * (n + 1 - k) / k
        return k
    a, b, center, threshold = _constants(n, p)
    while True:
        us = 0.5 - abs(u - 0.5)
        k = int(np.floor((2.0 * a / us + b) * (u - 0.5) + center)) if us > 0.0 else -1
        if us >= 0.07 and v <= threshold:
            return k
        if k >= 0 and k <= n:
            v *= (2.83 + 5.1 / b) * np.sqrt(n * p * q) / (a / (us * us) + b)
            mode = int((n + 1) * p)
            log_ratio = log_factorials[mode] + log_factorials[n - mode] - log_factorials[k] - log_factorials[n - k]
            log_ratio += (k - mode) * np.log(p / q)
            if np.log(v) <= log_ratio:
                return k
        v, u = rng.random(), rng.random()


@compiled
def _multinomial(rng, uniforms, probabilities, shots, log_factorials, result):
    """Draw for each row the first outcome from all shots, the second from those that are left, and so on."""
    count, num_outcomes = probabilities.shape
    left, total = np.full(count, float(shots)), np.zeros(count)
    chance, proposal, accepted = np.empty(count), np.empty(count), np.empty(count, dtype=np.bool_)
    for i in range(count):
        for k in range(num_outcomes):
            total[i] += max(probabilities[i, k], 0.0)
    for k in range(num_outcomes - 1):
        v, u = uniforms[k, 0], uniforms[k, 1]
        for i in range(count):
            share = max(probabilities[i, k], 0.0)
            chance[i] = share / total[i] if total[i] > share else 1.0
            total[i] -= share
        for i in range(count):
            p = min(chance[i], 1.0 - chance[i])
            a, b, center, threshold = _constants(left[i], p)
            us = 0.5 - abs(u[i] - 0.5)
            proposal[i] = np.floor((2.0 * a / us + b) * (u[i] - 0.5) + center)
            accepted[i] = (us >= 0.07) & (v[i] <= threshold) & (left[i] * p >= 10.0)
        for i in range(count):
            drawn = proposal[i]
            if not accepted[i]:
                p = min(chance[i], 1.0 - chance[i])
                drawn = float(_binomial(rng, int(left[i]), p, v[i], u[i], log_factorials))
            if chance[i] > 0.5:
                drawn = left[i] - drawn
            result[i, k] = drawn / shots
            left[i] -= drawn
    for i in range(count):
        result[i, num_outcomes - 1] = left[i] / shots
