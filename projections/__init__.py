"""What is derived from the log: one module a projection, and the runner that keeps them."""
