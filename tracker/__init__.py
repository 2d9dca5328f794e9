"""Takes facts about Twilio messages in, keeps them, answers questions about them."""
