"""The `privacy` section of an experiment file: differential privacy at one of two levels."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qiskit_fedqml.config.strict import Number, PositiveNumber, StrictModel

NoiseMultiplier = Annotated[Number, Field(ge=0.1, le=1e4)]
MaxNorm = Annotated[Number, Field(ge=1e-6, le=1e6)]


class ExamplePrivacy(StrictModel):
    """DP-SGD at the clients (Abadi et al., 2016, arXiv:1607.00133, Algorithm 1): each example is protected.

    A client takes each of its examples into a batch with probability ``sampling_rate``, shortens each example's
    gradient to ``max_norm`` over all trained tensors together, adds Gaussian noise of the standard deviation
    ``noise_multiplier · max_norm`` to their sum, and divides by ``federation.batch_size``. A local epoch is
    1 / ``sampling_rate`` steps, rounded.
    """

    noise_multiplier: NoiseMultiplier
    """σ: the noise's standard deviation by the largest norm."""
    max_norm: MaxNorm
    """C: the largest norm of an example's gradient; longer ones are shortened."""
    sampling_rate: Annotated[Number, Field(ge=1e-6, le=1.0)]
    """q: the probability with which an example is in a batch, the same for all clients."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of a local epoch."""
        return max(1, round(1 / self.sampling_rate))


class AdaptiveNorm(StrictModel):
    """The norm follows a quantile of the updates' norms (Andrew et al., 2021, arXiv:1905.03871, Algorithm 1)."""

    quantile: Annotated[Number, Field(gt=0.0, lt=1.0)] = 0.5
    """γ: which part of the updates shall be shorter than the norm."""
    learning_rate: Annotated[PositiveNumber, Field(le=10.0)] = 0.2
    """η: how fast the norm follows; a step multiplies it by exp(−η (b − γ))."""
    count_noise: Annotated[PositiveNumber, Field(le=1e6)] | None = None
    """σ_b: the noise on the number of updates that are shorter; none is a twentieth of ``clients_per_round``."""

    def noise_on_count(self, clients_per_round: int) -> float:
        """Return σ_b, given how many clients take part in a round on average."""
        return clients_per_round / 20 if self.count_noise is None else self.count_noise


class ClientPrivacy(StrictModel):
    """DP-FedAvg at the server (McMahan et al., 2018, arXiv:1710.06963, Algorithm 1): each client is protected.

    Each client takes part in a round with probability ``clients_per_round / clients``. The server shortens each update
    to ``max_norm``, adds Gaussian noise of the standard deviation ``noise_multiplier · max_norm`` to their sum, and
    divides by ``clients_per_round``.
    """

    noise_multiplier: NoiseMultiplier
    """σ: the noise's standard deviation by the largest norm."""
    max_norm: MaxNorm
    """S: the largest norm of an update, with ``adaptive`` the first one; longer ones are shortened."""
    adaptive: AdaptiveNorm | None = None
    """Lets the norm follow the updates; none keeps it."""


class PrivacyConfig(StrictModel):
    """Differential privacy: (ε, δ) for each example that a client holds, or for each client as a whole.

    ``randomness: system`` draws noise and samples from a cryptographic generator with a key of the operating system;
    such a run cannot be repeated to the bit. ``simulated`` derives them from the run's seed: whoever knows it can take
    the noise away, so it is for studies. ``epsilon`` ends a run before a round that would spend more.
    """

    delta: Annotated[Number, Field(ge=1e-10, le=0.1)]
    """δ, well below 1 by the number of examples or clients."""
    epsilon: Annotated[PositiveNumber, Field(le=1e6)] | None = None
    """The largest ε that may be spent; none only counts it."""
    randomness: Literal["system", "simulated"] = "system"
    """Where noise comes from: the operating system, or the run's seed, which protects nobody."""
    examples: ExamplePrivacy | None = None
    """Protects each example, from the server too: DP-SGD at the clients."""
    clients: ClientPrivacy | None = None
    """Protects each client from those who get the model, but not from the server: DP-FedAvg."""

    @property
    def protects_clients(self) -> bool:
        """Whether each client is protected, and not each example."""
        return self.clients is not None

    @model_validator(mode="after")
    def _has_one_level(self) -> "PrivacyConfig":
        if (self.examples is None) == (self.clients is None):
            raise ValueError(
                "must name one of examples and clients, who are protected by noise at the clients or at the server"
            )
        return self
