"""Secure aggregation, as a configuration names it."""

from typing import Annotated

from pydantic import Field

from qiskit_fedqml.config.strict import PositiveInteger, PositiveNumber, StrictModel

MODULUS = 2**32
"""Masked numbers are counted modulo this one."""


class SecureConfig(StrictModel):
    """Secure aggregation (Bonawitz et al., 2017, eprint 2017/281): the server learns the sum of a round's updates only.

    Flower's SecAgg+ does it, among the nodes of a deployment.
    """

    threshold: Annotated[PositiveInteger, Field(ge=2, le=10_000)]
    """How many of a round's clients must stay to its end; so many of them could uncover another one's update."""
    clipping_range: Annotated[PositiveNumber, Field(le=1e6)] = 8.0
    """The most that a round may change a number by; a client that changes one by more has failed."""

    def quantization_range(self, clients: int) -> int:
        """Return into how many steps the range of changes is divided: as many as so many clients' sum has room for.

        Args:
            clients: How many are added up.
        """
        return 1 << ((MODULUS - 1) // clients).bit_length() - 1
