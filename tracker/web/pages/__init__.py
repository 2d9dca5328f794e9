"""Pages rendered on the server, without scripts and without content from other sites."""
