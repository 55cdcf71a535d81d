"""What a ledger holds, at a glance: nothing is verified, and neither torch nor the library of signatures is needed."""

from dataclasses import dataclass
from pathlib import Path

from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.ledger.links import CHAIN, FOLDER, parse_link, read_links


@dataclass(frozen=True)
class Overview:
    """What a chain says of itself.

    Args:
        links: Its links.
        steps: Server steps that it holds.
        head: The digest of its last link; whoever notes it elsewhere can tell later that nothing was cut.
        keys: The server's public keys, in hexadecimal digits: the first one, and one for each time that the run was
            resumed.
        clients: Clients that have signed.
        chain_bytes: Size of the chain.
        update_bytes: Size of the stored updates; 0 where they are not kept.
    """

    links: int
    steps: int
    head: str
    keys: tuple[str, ...]
    clients: int
    chain_bytes: int
    update_bytes: int


def overview_of(folder: Path) -> Overview | None:
    """Return what the ledger in a result folder says of itself, or None where there is none.

    Raises:
        ResultError: It is damaged.
    """
    path = folder / FOLDER
    if not (path / CHAIN).exists():
        return None
    links, steps, head, num_bytes = 0, 0, "", 0
    keys, clients = list[str](), set[int]()
    for line in read_links(folder):
        try:
            link = parse_link(line)
            said = link.content
            if said["kind"] in ("begin", "resume"):
                keys.append(str(said["key"]))
            for entries in said.get("attempts", ()):
                clients |= {int(entry["client"]) for entry in entries if entry.get("signed")}
            steps = int(said.get("step", 0))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultError(f"{path / CHAIN} is damaged in link {links}: {error}.") from error
        links, head, num_bytes = links + 1, link.digest, num_bytes + len(line)
    updates = sum(file.stat().st_size for file in (path / "updates").glob("step-*.bin"))
    return Overview(links, steps, head, tuple(keys), len(clients), num_bytes, updates)
