"""The aggregation rules that a configuration can name, with their options and how many updates each needs."""

from typing import Annotated, Literal

from pydantic import Field, Tag

from qiskit_fedqml.config.alternatives import NAME, one_of, tag_of
from qiskit_fedqml.config.extension import PYTHON, PythonReference
from qiskit_fedqml.config.strict import Number, PositiveInteger, StrictModel

NamedRule = Literal["fedavg", "coordinate_median", "geometric_median", "foolsgold"]
"""Rules without options."""

_Byzantine = Annotated[PositiveInteger, Field(le=1_000_000)]


class TrimmedMeanOptions(StrictModel):
    """The coordinate-wise trimmed mean (arXiv:1803.01498): of n numbers the ⌊β n⌋ smallest and largest are dropped."""

    fraction: Annotated[Number, Field(ge=1e-6, lt=0.5)]
    """β: which part of the updates is dropped at each end."""


class KrumOptions(StrictModel):
    """Krum (Blanchard et al., 2017): the update that is nearest to the others, if f of them may be anything."""

    byzantine: _Byzantine
    """f: how many clients' updates may be anything; a round must have at least 2 f + 3."""


class MultiKrumOptions(StrictModel):
    """Multi-Krum (Blanchard et al., 2017): the mean of the updates that Krum likes best."""

    byzantine: _Byzantine
    """f: how many clients' updates may be anything; a round must have at least 2 f + 3."""
    keep: PositiveInteger | None = None
    """How many updates are averaged; none is all but f of a round's."""


class BulyanOptions(StrictModel):
    """Bulyan (arXiv:1802.07927): means around the medians of what Krum chooses, if f updates may be anything."""

    byzantine: _Byzantine
    """f: how many clients' updates may be anything; a round must have at least 4 f + 3."""


class TrimmedMeanRule(StrictModel):
    """The coordinate-wise trimmed mean."""

    trimmed_mean: TrimmedMeanOptions
    """The coordinate-wise trimmed mean: the largest and smallest numbers are dropped."""

    @property
    def least_updates(self) -> int:
        """The smallest number of updates of which any is dropped."""
        least = int(1 / self.trimmed_mean.fraction)
        return least if int(self.trimmed_mean.fraction * least) else least + 1


class KrumRule(StrictModel):
    """Krum."""

    krum: KrumOptions
    """Krum: one update, the one that is nearest to the others."""

    @property
    def least_updates(self) -> int:
        """2 f + 3."""
        return 2 * self.krum.byzantine + 3


class MultiKrumRule(StrictModel):
    """Multi-Krum."""

    multi_krum: MultiKrumOptions
    """Multi-Krum: the mean of the updates that are nearest to each other."""

    @property
    def least_updates(self) -> int:
        """2 f + 3, and as many as are kept besides the f."""
        options = self.multi_krum
        return max(2 * options.byzantine + 3, (options.keep or 0) + options.byzantine)


class BulyanRule(StrictModel):
    """Bulyan."""

    bulyan: BulyanOptions
    """Bulyan: means around the medians of the updates that Krum chooses."""

    @property
    def least_updates(self) -> int:
        """4 f + 3."""
        return 4 * self.bulyan.byzantine + 3


LimitedRule = TrimmedMeanRule | KrumRule | MultiKrumRule | BulyanRule
"""Rules that need so many updates."""

WEIGHTLESS = (TrimmedMeanRule, KrumRule, BulyanRule)
"""Rules for which weights do not matter."""

_KINDS: dict[str, type[StrictModel]] = {
    "trimmed_mean": TrimmedMeanRule,
    "krum": KrumRule,
    "multi_krum": MultiKrumRule,
    "bulyan": BulyanRule,
    "python": PythonReference,
}

Rule = Annotated[
    Annotated[NamedRule, Tag(NAME)]
    | Annotated[TrimmedMeanRule, Tag(tag_of("trimmed_mean"))]
    | Annotated[KrumRule, Tag(tag_of("krum"))]
    | Annotated[MultiKrumRule, Tag(tag_of("multi_krum"))]
    | Annotated[BulyanRule, Tag(tag_of("bulyan"))]
    | Annotated[PythonReference, Tag(PYTHON)],
    one_of(
        "must be fedavg, coordinate_median, geometric_median, foolsgold, {trimmed_mean: {fraction: β}}, "
        "{krum: {byzantine: f}}, {multi_krum: {byzantine: f}}, {bulyan: {byzantine: f}} or "
        "{python: 'module:name', arguments: {…}}",
        _KINDS,
        ("fedavg", "coordinate_median", "geometric_median", "foolsgold"),
    ),
]
