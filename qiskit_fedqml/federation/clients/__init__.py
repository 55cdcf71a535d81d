"""What happens at a client: one task, step by step. Nothing here knows of other clients."""
