"""FoolsGold (Fung, Yoon and Beschastnikh, 2018, arXiv:1808.04866, Algorithm 1)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.federation.messages import State, States
from qiskit_fedqml.federation.rules.collected import Collected, mean_of, normalized
from qiskit_fedqml.federation.states import difference, squared_norm

ROUNDING = 1e-6
"""Histories that point the same way up to this count as equal: they are float32."""


@dataclass
class FoolsGold(Collected):
    """The mean of updates, in which clients that move the same way over the rounds count less: sybils do.

    A client's history is the sum of its updates' differences from the global model. Each update counts by its weight
    times α (:func:`learning_rates`). Where all α are 0 the global model stays. The paper compares the features that
    decide, chosen by hand or by the size of the last layer's weights; here all trained tensors are compared.

    Args:
        histories: By client, ``"client/3"``; one state for each client that has taken part.
    """

    takes_weights = True
    histories: States = field(default_factory=dict, init=False, repr=False)

    def recall(self, memory: States) -> None:
        """Take up the clients' histories, which are replaced and never changed."""
        self.histories = dict(memory)

    def remembered(self) -> States:
        """Return the clients' histories."""
        return self.histories

    def finish(self) -> State:
        """Return the weighted mean, and add the updates to their clients' histories."""
        histories = []
        for update, state in zip(self.updates, self.states, strict=True):
            name, change = f"client/{update.client_id}", difference(state, self.model)
            past = self.histories.get(name)
            history = change if past is None else {key: past[key].double() + part for key, part in change.items()}
            self.histories[name] = {key: part.float() for key, part in history.items()}
            histories.append(self.histories[name])
        rates = learning_rates(_cosines(histories))
        self.counted = [weight * float(rate) for weight, rate in zip(self.weights, rates, strict=True)]
        if not any(self.counted):
            return {name: tensor.clone() for name, tensor in self.model.items()}
        return mean_of(self.states, self.counted)

    def parts(self) -> list[float]:
        """Return the updates' parts of the mean; all are 0 where none counts."""
        return normalized(self.counted) if any(self.counted) else self.counted


def learning_rates(cosines: NDArray[np.float64], confidence: float = 1.0) -> NDArray[np.float64]:
    """Return each client's α, from 0 to 1.

    Args:
        cosines: Cosine similarities of the clients' histories, shape (clients, clients).
        confidence: κ of the paper's logit.
    """
    similarity = cosines - np.diag(np.diag(cosines))
    highest = similarity.max(axis=1, initial=0.0)
    # Pardoning: an honest client that resembles a sybil is itself less like the others than that one is.
    ratio = np.divide(highest[:, None], highest[None, :], out=np.ones_like(similarity), where=highest[None, :] > 0)
    similarity = similarity * np.minimum(1.0, ratio)
    rates = np.clip(1 - similarity.max(axis=1, initial=0.0), 0.0, 1.0)
    rates[rates < ROUNDING] = 0.0
    rates = rates / rates.max() if rates.max() > 0 else rates
    logit = np.log(np.clip(rates, 1e-12, 1 - 1e-12) / (1 - np.clip(rates, 1e-12, 1 - 1e-12)))
    return np.asarray(np.clip(confidence * (logit + 0.5), 0.0, 1.0))


def _cosines(histories: Sequence[State]) -> NDArray[np.float64]:
    norms = [squared_norm(history) ** 0.5 for history in histories]
    cosines = np.eye(len(histories))
    for i, one in enumerate(histories):
        for j in range(i):
            product = sum(float((part.double() * histories[j][name].double()).sum()) for name, part in one.items())
            size = norms[i] * norms[j]
            cosines[i, j] = cosines[j, i] = product / size if size else 0.0
    return cosines
