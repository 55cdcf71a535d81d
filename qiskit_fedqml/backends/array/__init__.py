"""The array of machines: each entry of `backends.yaml` opened, assigned to clients, shown and checked."""
