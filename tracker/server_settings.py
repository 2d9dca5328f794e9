"""Settings of a server that listens: what must be set so that it exposes nothing and accepts no forgery by accident."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationInfo, field_validator

from tracker.generated_secrets import generated_secret
from tracker.settings import Settings, is_loopback, load_settings_as

_ANY_ADDRESS: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared with, not listened on
"""Addresses to listen on, not to call, each with the loopback address that reaches it."""

_ANY_KEY: Final = ("twilio_auth_token", "twilio_auth_tokens", "twilio_shared_keys")


class ServerSettings(Settings):
    """All settings, with the rules between them that concern a server."""

    @field_validator("twilio_auth_token")
    @classmethod
    def _require_token_of_account(cls, value: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        # A name that is missing in info.data has a complaint of its own.
        is_keyless = not value and info.data.get("twilio_auth_tokens") == {} == info.data.get("twilio_shared_keys")
        if is_keyless and info.data.get("twilio_account_sid") is not None:
            raise ValueError(
                "must be set, because TWILIO_ACCOUNT_SID is; TWILIO_AUTH_TOKENS or TWILIO_SHARED_KEYS also serve"
            )
        return value

    @field_validator("public_base_urls")
    @classmethod
    def _require_base_url(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not value and any(info.data.get(name) for name in _ANY_KEY):
            host = info.data.get("host", "localhost")
            if not is_loopback(host):
                raise ValueError(
                    f"must be set, because TRACKER_HOST {host} is no loopback address: Twilio signs the URL"
                )
            if info.data.get("trusted_proxies"):
                raise ValueError("must be set, because TRACKER_TRUSTED_PROXIES is: Twilio signs the URL that it calls")
        return value

    @field_validator("api_token")
    @classmethod
    def _require_token_beyond_loopback(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        host = info.data.get("host")
        if value is None and host is not None and not is_loopback(host):
            raise ValueError(f"must be set, because TRACKER_HOST {host} is no loopback address")
        return value


def load_server_settings(overrides: Mapping[str, object] | None = None) -> ServerSettings:
    """Read and check all settings for a server. overrides, errors: as in ``load_settings``."""
    return load_settings_as(ServerSettings, overrides)


def api_token_file(settings: Settings) -> Path | None:
    """Where the API token is that the server makes by itself; None when it makes none.

    It makes one when none is configured and ``PUBLIC_BASE_URL`` names a host beyond loopback: other people then reach what listens on
    this machine's loopback address.
    """
    if settings.api_token is not None or not _is_public(settings.public_base_urls):
        return None
    return settings.data_dir / "api-token"


def effective_api_token(settings: Settings) -> SecretStr | None:
    """The configured API token, else the one that is made once and kept in ``api_token_file``, else None.

    Raises SettingsError when the file cannot be made or read.
    """
    path = api_token_file(settings)
    return settings.api_token if path is None else SecretStr(generated_secret(path, characters=48))


def local_base_url(settings: Settings, port: int) -> str:
    """Scheme, host and port at which programs on this machine reach the server: a server on all addresses is reached on loopback."""
    host = _ANY_ADDRESS.get(settings.host, settings.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _is_public(base_urls: Sequence[str]) -> bool:
    return any(not is_loopback(urlsplit(base_url).hostname or "") for base_url in base_urls)
