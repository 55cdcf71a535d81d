"""Client steps, one file each: how one batch of a client changes the model. None of them reaches Qiskit."""
