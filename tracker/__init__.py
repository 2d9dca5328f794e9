"""Receives Twilio's status callbacks, stores them in an immutable log, and answers questions about messages (docs/ARCHITECTURE.md)."""
