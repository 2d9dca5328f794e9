"""Where to post and how to sign: from the options given, and for the rest from the settings of the tracker here."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from tracker.errors import NoDatabaseError
from tracker.server_settings import effective_api_token, local_base_url
from tracker.settings import (
    DEVELOPMENT_ACCOUNT_SID,
    development_token_file,
    effective_account,
    load_settings,
)

CALLBACK_PATH = "/webhooks/twilio/status"


@dataclass(frozen=True, slots=True)
class Target:
    """url: what is posted to. signed_url: what the tracker verifies signatures for.

    api_base_url: what the API's paths come after. api_token: its bearer token; None: it wants none.
    """

    url: str
    signed_url: str
    api_base_url: str
    account_sid: str
    auth_token: str
    api_token: str | None


def find_target(
    url: str | None = None, auth_token: str | None = None, account_sid: str | None = None, api_token: str | None = None
) -> Target:
    """The target. What is None comes from the settings; they are not read when URL and auth token are both given.

    Raises ValueError when the URL is none that Twilio could post to or the port is not known, SettingsError when settings are wrong, NoDatabaseError
    when no tracker was ever started with them that has a token of its own.
    """
    if url is not None:
        url = check_url(url)
    if url is not None and auth_token is not None:
        return Target(url, url, _api_base_url(url), account_sid or DEVELOPMENT_ACCOUNT_SID, auth_token, api_token)
    settings = load_settings()
    if auth_token is None and settings.uses_development_account and not development_token_file(settings).exists():
        raise NoDatabaseError(
            f"There is no tracker's development token in {settings.data_dir.absolute()}. Start `tracker serve` in this directory"
            " first, set TRACKER_DATA_DIR to its data directory, or give --url and --token."
        )
    if url is None and settings.port == 0:
        raise ValueError(
            "TRACKER_PORT is 0, so the port is known to `tracker serve` alone: give --url with the address that it printed"
        )
    local = local_base_url(settings, settings.port)
    url = url or local + CALLBACK_PATH
    own_account_sid, own_token = effective_account(settings)
    own_api_token = effective_api_token(settings)
    return Target(
        url=url,
        signed_url=_as_seen_from_outside(url, local, settings.public_base_url),
        api_base_url=_api_base_url(url),
        account_sid=account_sid or own_account_sid,
        auth_token=auth_token or own_token,
        api_token=api_token or (own_api_token.get_secret_value() if own_api_token else None),
    )


def check_url(url: str) -> str:
    """The URL without its fragment: that tells Twilio how to connect, and is neither sent nor signed.

    Raises ValueError unless it is an absolute http or https URL in ASCII, without credentials.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("the URL must be absolute, such as http://127.0.0.1:8000/webhooks/twilio/status")
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError("the URL must have its spaces and letters beyond ASCII percent-encoded")
    if parts.username is not None:
        raise ValueError("credentials in the URL are not supported: leave them out")
    if parts.port == 0:  # reading it raises ValueError when it is none
        raise ValueError("the URL's port must be 1 to 65535")
    return parts._replace(fragment="").geturl()


def _as_seen_from_outside(url: str, local: str, public_base_url: str | None) -> str:
    """A URL of the local tracker as Twilio knows it; any other URL is what Twilio calls already."""
    if public_base_url is None or not url.startswith(f"{local}/"):
        return url
    return public_base_url + url.removeprefix(local)


def _api_base_url(url: str) -> str:
    before, found, _ = url.partition(CALLBACK_PATH)
    return before if found else urlsplit(url)._replace(path="", query="").geturl()
