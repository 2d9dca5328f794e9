"""Tables and reports that commands print."""
