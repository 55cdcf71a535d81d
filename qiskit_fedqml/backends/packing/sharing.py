"""Which blocks a client has, and what they promise."""

from dataclasses import dataclass
from typing import Any

from qiskit.transpiler import Target

from qiskit_fedqml.backends.figures import success_probability
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.config.backends import Blocks


@dataclass
class BlockShares:
    """The blocks of each client of one device.

    With ``spread: clients`` each client has as many blocks of its own as there are for all of them; where there are
    fewer blocks than clients, some share one. Otherwise, and for the server, all blocks serve everyone.

    Args:
        config: How blocks are used; None where they are off.
        clients: The device's clients.
    """

    config: Blocks | None
    clients: tuple[int, ...] = ()

    def blocks_of(self, program: Program, client: int | None) -> tuple[int, ...]:
        """Return the numbers of a client's blocks; of the only one, where the program has no copies."""
        num_blocks = max(1, len(program.copies))
        has_own = self.config is not None and self.config.spread == "clients" and client in self.clients
        if not has_own:
            return tuple(range(num_blocks))
        place = self.clients.index(client)
        return tuple(range(place % num_blocks, num_blocks, max(len(self.clients), 1)))

    def success_probability(self, program: Program, client: int | None, target: Target) -> float:
        """Return the mean success probability of a client's blocks."""
        found = self._probabilities(program, client, target)
        return sum(found.values()) / len(found)

    def figures(self, program: Program, client: int | None, target: Target) -> dict[str, Any]:
        """Return the success probability of each of a client's blocks, by its qubits, and their mean."""
        found = self._probabilities(program, client, target)
        blocks = {"-".join(map(str, program.copies[block].qubits)): value for block, value in found.items()}
        return {"blocks": blocks, "success_probability": sum(found.values()) / len(found)}

    def _probabilities(self, program: Program, client: int | None, target: Target) -> dict[int, float]:
        copies = program.copies
        return {
            block: success_probability(copies[block].circuit, target, copies[block].measured)
            for block in self.blocks_of(program, client)
        }
