"""The pure fold: from the events of a message to its state. No I/O, no clock."""
