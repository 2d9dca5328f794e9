"""Twilio's formats: signatures, callback parameters, statuses, error codes, numbers. Pure: no network, no database."""
