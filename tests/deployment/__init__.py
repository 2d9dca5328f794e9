"""The deployment files: what they say, and what they do as far as that can be tried without Docker."""
