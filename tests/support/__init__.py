"""What tests share: servers, databases, events, waiting."""
