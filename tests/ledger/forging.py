"""Adversaries of a ledger: they change what lies in a result folder, and know more or fewer of the keys."""

import dataclasses
import json
from hashlib import sha256

from qiskit_fedqml.files import save_tensors
from qiskit_fedqml.ledger.digests import bytes_of, digest_of_state, state_of
from qiskit_fedqml.ledger.keys import SERVER, SimulatedKeys
from qiskit_fedqml.ledger.links import digest_of_value, parse_link
from qiskit_fedqml.ledger.statements import Statement
from qiskit_fedqml.results.manifest import digest_of_file, load_manifest
from qiskit_fedqml.results.proof import Proof
from qiskit_fedqml.results.tensors import load_tensors

SECRET = b"known to tests alone, 32 bytes.."


class Forger:
    """Somebody who can write in a result folder.

    Args:
        folder: The folder.
        server: Makes the server's signatures; None has no key, and leaves the old ones.
        clients: Makes the clients' signatures; likewise.
    """

    def __init__(self, folder, server=None, clients=None):
        self.folder, self.server, self.clients = folder, server, clients
        self.path = folder / "ledger" / "chain.jsonl"
        self.links = [parse_link(line) for line in self.path.read_bytes().splitlines(keepends=True)]

    def content(self, index):
        """Return a link's content, to be changed in place."""
        link = self.links[index]
        copy = json.loads(json.dumps(link.content))
        self.links[index] = dataclasses.replace(link, content=copy)
        return copy

    def write(self, *, hashes=True):
        """Write the links; with all numbers, digests and known signatures put right, unless asked not to."""
        if self.server:
            self.content(0)["key"] = self.server.public_key(SERVER)
        written = []
        for number in range(len(self.links)):
            if self.clients and number:
                for entries in self.content(number).get("attempts", ()):
                    for entry in entries:
                        self.sign_as_client(entry, self.clients, written[0].digest)
            link = self.links[number]
            if hashes:
                before = written[-1].digest if written else ""
                link = dataclasses.replace(link, index=number, previous=before)
            if self.server:
                link = dataclasses.replace(link, signature=self.server.sign(SERVER, link.signed).signature)
            written.append(link)
        self.links = written
        self.path.write_bytes(b"".join(link.line + b"\n" for link in written))

    def entry(self, index, position=0, attempt=0):
        """Return what a link says of a client, to be changed in place."""
        return self.content(index)["attempts"][attempt][position]

    def sign_as_client(self, entry, keys, chain):
        """Sign a client's statement."""
        if "signed" in entry:
            statement = Statement(**entry["signed"])
            signed = keys.sign(f"client {statement.client}", statement.message(chain))
            entry["signature"] = signed.signature
            if "key" in entry:
                entry["key"] = signed.key

    def change_update(self, step, entry):
        """Change a stored update by one bit of its last number, and what its client has signed of it."""
        path = self.folder / "ledger" / "updates" / f"step-{step:06d}.bin"
        content = path.read_bytes()
        start, length = entry["at"]
        state = state_of(content[start : start + length])
        next(iter(state.values())).view(-1)[0] += 1
        path.write_bytes(content[:start] + bytes_of(state) + content[start + length :])
        entry["signed"]["update"] = digest_of_state(state)

    def change_model(self, name):
        """Change a number of the final model."""
        path = self.folder / "model.safetensors"
        tensors = load_tensors(path)
        tensors[name].view(-1)[0] += 1
        save_tensors(path, tensors, {})
        self.change_manifest(files=lambda files: {**files, path.name: digest_of_file(path)})

    def change_records(self, change):
        """Change the lines of the records."""
        path = self.folder / "rounds.jsonl"
        lines = change(path.read_bytes().splitlines(keepends=True))
        path.write_bytes(content := b"".join(lines))
        proof = Proof(len(lines), len(content), sha256(content).hexdigest())
        self.change_manifest(records=lambda _: proof)

    def change_configuration(self, change):
        """Change config.yaml and what the manifest says of it."""
        from qiskit_fedqml.config.yaml_files import dump_yaml

        configuration = json.loads(json.dumps(load_manifest(self.folder).configuration))
        change(configuration)
        self.change_manifest(configuration=lambda _: configuration)
        (self.folder / "config.yaml").write_text(dump_yaml(configuration))
        return digest_of_value(configuration)

    def change_manifest(self, **changes):
        manifest = load_manifest(self.folder)
        values = {name: change(getattr(manifest, name)) for name, change in changes.items()}
        dataclasses.replace(manifest, **values).save(self.folder)


def known_keys():
    """Return the keys of a run whose secret is that of tests."""
    return SimulatedKeys(SECRET)


def other_keys():
    """Return an adversary's own keys."""
    return SimulatedKeys(b"an adversary's own secret, 32 b.")
