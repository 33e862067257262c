"""What `gridlink bench` runs: memory, the grid, messages. Nothing of it is loaded by a node."""
