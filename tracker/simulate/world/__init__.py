"""The simulated world: accounts, senders, recipients, and the life cycles of messages."""
