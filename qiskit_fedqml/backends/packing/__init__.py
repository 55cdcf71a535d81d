"""One large device as an array of small machines: blocks of qubits, each of which holds a copy of the circuit."""
