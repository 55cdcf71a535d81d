"""What a reader sees of runs: the paper's table, learning curves, and a page with everything about them."""
