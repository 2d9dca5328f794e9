"""What tests of projections share: histories, random traffic, and independent definitions of what must come out."""
