"""Which blocks a client has, and what they promise."""

from dataclasses import dataclass
from typing import Any

from qiskit.transpiler import Target

from qiskit_fedqml.backends.figures import left_out, success_probability
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.config.blocks import Blocks
from qiskit_fedqml.simulation.gaps import Gaps


@dataclass
class BlockShares:
    """The blocks of each client of one device.

    With ``spread: clients`` each client has as many blocks of its own as there are for all of them; where there are
    fewer blocks than clients, some share one. Otherwise, and for the server, all blocks serve everyone.

    Args:
        config: How blocks are used; None where they are off.
        clients: The device's clients.
        one_each: Whether a client has one block even where there are more, and the server the best one.
    """

    config: Blocks | None
    clients: tuple[int, ...] = ()
    one_each: bool = False

    def blocks_of(self, program: Program, client: int | None) -> tuple[int, ...]:
        """Return the numbers of a client's blocks; of the only one, where the program has no copies."""
        num_blocks = max(1, len(program.copies))
        has_own = self.config is not None and self.config.spread == "clients" and client in self.clients
        place = self.clients.index(client) if has_own and client is not None else 0
        if self.one_each:
            return (place % num_blocks,)
        return tuple(range(place % num_blocks, num_blocks, len(self.clients) if has_own else 1))

    def success_probability(self, program: Program, client: int | None, target: Target) -> float:
        """Return the mean success probability of a client's blocks."""
        found = self._probabilities(program, client, target)
        return sum(found.values()) / len(found)

    def figures(self, program: Program, client: int | None, target: Target, gaps: Gaps) -> dict[str, Any]:
        """Return the success probability of each of a client's blocks, by its qubits, their mean, and the spread.

        ``left_out`` has the device's qubits and couplings that cannot be used, if there are any.
        """
        found = self._probabilities(program, client, target)
        blocks = {"-".join(map(str, program.copies[block].qubits)): value for block, value in found.items()}
        spread = "samples" if self.config is None else self.config.spread
        mean, faulty = sum(found.values()) / len(found), left_out(gaps, target)
        figures = {"blocks": blocks, "success_probability": mean, "spread": spread}
        return {**figures, "left_out": faulty} if faulty else figures

    def _probabilities(self, program: Program, client: int | None, target: Target) -> dict[int, float]:
        copies = program.copies
        return {
            block: success_probability(copies[block].circuit, target, copies[block].measured)
            for block in self.blocks_of(program, client)
        }
