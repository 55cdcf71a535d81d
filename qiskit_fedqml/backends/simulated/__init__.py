"""Machines simulated on this computer: by the sweeps, or by Aer."""
