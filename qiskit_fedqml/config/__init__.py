"""An experiment file as one frozen value: every section and every default. It imports nothing but `errors`."""
