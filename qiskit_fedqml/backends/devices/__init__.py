"""Whatever has a queue: jobs that are costed, budgeted, sent, waited for, and written down."""
