"""What came of a ledger's verification, in words, and what a ledger holds, as a table."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit_fedqml.ledger.overview import Overview
    from qiskit_fedqml.ledger.verifying import Verified


def sentences_of(found: "Verified") -> list[str]:
    """Return what was verified, or the first misfit."""
    if found.misfit:
        return [found.misfit]
    made = (
        "each global model is what its rule gives of the stored updates"
        if found.is_replayed
        else "the updates were not kept, so what the rule gives was not checked"
    )
    sentences = [f"All {found.links} links fit ({found.steps} server steps): {made}."]
    if not found.is_finished:
        sentences.append("The run is not finished, so there is no final model to compare.")
    if found.key_epochs > 1:
        times = "once" if found.key_epochs == 2 else f"{found.key_epochs - 1} times"
        sentences.append(f"The run was resumed {times}, each time with new keys, for which only a noted head vouches.")
    if found.after_head:
        sentences.append(f"{found.after_head} links follow the one that was noted.")
    return [*sentences, f"Head: {found.head}"]


def rows_of(found: "Overview") -> list[dict[str, str]]:
    """Return the rows of the table of a ledger."""
    values = {
        "Head": found.head,
        "Links": f"{found.links:,}",
        "Server steps": f"{found.steps:,}",
        "Clients that have signed": f"{found.clients:,}",
        "Chain": f"{found.chain_bytes:,} bytes",
        "Updates": f"{found.update_bytes:,} bytes" if found.update_bytes else "not kept",
        **{f"Server's key {number}": key for number, key in enumerate(found.keys, start=1)},
    }
    return [{"Ledger": name, "Value": value} for name, value in values.items()]
