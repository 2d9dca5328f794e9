"""The account whose callbacks are posted, and the URL that Twilio would call."""

from typing import Final

from tracker.web.webhook import PATH

ACCOUNT_SID: Final = "AC0123456789abcdef0123456789abcdef"
AUTH_TOKEN: Final = "5d41402abc4b2a76b9719d911017c592"  # of nobody's account

HOST: Final = "status.example.com"
API_TOKEN: Final = "of-the-bench"  # of nobody's server
PUBLIC_BASE_URL: Final = f"https://{HOST}"
SIGNED_URL: Final = PUBLIC_BASE_URL + PATH
