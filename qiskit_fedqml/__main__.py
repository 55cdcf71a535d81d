"""`python -m qiskit_fedqml`."""

from qiskit_fedqml.cli import main

if __name__ == "__main__":
    main()
