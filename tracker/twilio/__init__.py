"""What is Twilio's: signatures, callback parameters, statuses, error codes. Nothing here touches a network or a database."""
