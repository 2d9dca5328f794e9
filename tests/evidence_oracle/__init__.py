"""Independent programs that check the proofs."""
