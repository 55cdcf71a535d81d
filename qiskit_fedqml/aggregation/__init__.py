"""How the centre makes one model of the clients': each algorithm in a file of its own. None of them knows of Qiskit."""
