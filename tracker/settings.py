"""Settings: from the environment or ``.env``; a secret may come from the file that ``NAME_FILE`` names."""

import json
import os
import re
from collections.abc import Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal, TypeVar, cast
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tracker.environment import SECRETS, check_names, expand_home, read_secret_files
from tracker.errors import SettingsError
from tracker.generated_secrets import generated_secret
from tracker.quantities import parse_duration, parse_size
from tracker.setting_messages import complaint, setting_name

ACCOUNT_SID = re.compile(r"AC[0-9a-fA-F]{32}")
"""Shape of an account SID."""

TOKEN_MISSING = "must be set beside TWILIO_ACCOUNT_SID or TWILIO_SHARED_KEYS"  # noqa: S105  # no token
"""Complaint about TWILIO_AUTH_TOKEN."""

DEVELOPMENT_ACCOUNT_SID = "AC" + "0" * 31 + "1"
"""The account of a server that was given none: well formed, and nobody's."""

_HOST_NAME = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")

IpNetwork = IPv4Network | IPv6Network


class SharedKeySetting(BaseModel):
    """A shared key that signs webhooks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secret: SecretStr
    accounts: tuple[str, ...] | None = None
    """Account SIDs that it speaks for; None: the main account."""


class Settings(BaseSettings):
    """All settings, checked. ``load_settings`` is the way to get one."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_file_encoding="utf-8",
        env_ignore_empty=True,  # compose files pass on what is unset as an empty value
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    database_url: SecretStr | None = Field(None, description="PostgreSQL 15 or newer; unset: an embedded server")
    data_dir: Path = Field(Path(".tracker"), alias="TRACKER_DATA_DIR", description="embedded server, spool, secrets")
    host: str = Field("127.0.0.1", alias="TRACKER_HOST", description="address to listen on")
    port: int = Field(8000, alias="TRACKER_PORT", ge=0, le=65535, description="port to listen on; 0: any that is free")
    trusted_proxies: Annotated[tuple[IpNetwork, ...], NoDecode] = Field(
        (),
        alias="TRACKER_TRUSTED_PROXIES",
        description="networks of reverse proxies, comma-separated; PUBLIC_BASE_URL is then required",
    )
    twilio_account_sid: str | None = Field(None, description="the account")
    twilio_auth_tokens: Annotated[dict[str, list[SecretStr]], NoDecode] = Field(
        default_factory=dict, description='more accounts, JSON: {"AC…": ["token", "older token"]}'
    )
    twilio_shared_keys: Annotated[dict[str, SharedKeySetting], NoDecode] = Field(
        default_factory=dict,
        description='shared keys for webhook signatures, JSON: {"key id": {"secret": "…", "accounts": ["AC…"]}}',
    )
    twilio_auth_token: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), validate_default=True, description="the account's auth tokens, comma-separated; the first is used to send"
    )
    public_base_urls: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        alias="PUBLIC_BASE_URL",
        max_length=8,
        validate_default=True,
        description="scheme, host, port and prefix that Twilio calls; several, comma-separated: the first is used to send",
    )
    twilio_api_base_url: str = Field("https://api.twilio.com", description="where Twilio's REST API is")
    api_token: SecretStr | None = Field(
        None, alias="TRACKER_API_TOKEN", validate_default=True, description="bearer token of API, pages and metrics"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", alias="TRACKER_LOG_FORMAT", description="auto: console on a terminal"
    )
    instance_id: UUID | None = Field(
        None,
        alias="TRACKER_INSTANCE_ID",
        description="UUID of the server that a web service and its projector belong to; unset: a new one per start",
    )
    workers: int = Field(1, alias="TRACKER_WORKERS", ge=1, le=64, description="web worker processes")
    max_connections: int = Field(
        4096,
        alias="TRACKER_MAX_CONNECTIONS",
        ge=16,
        description="connections that a worker reads from at the same time",
    )
    append_timeout: float = Field(
        0.8,
        alias="TRACKER_APPEND_TIMEOUT",
        gt=0,
        le=10,
        description="time that the database may take before the spool is used, in seconds",
    )
    spool_max_bytes: int = Field(
        1024**3,
        alias="TRACKER_SPOOL_MAX_BYTES",
        ge=1024**2,
        description="what callbacks may take on the local disk, bytes",
    )

    @field_validator("append_timeout", mode="before")
    @classmethod
    def _parse_duration(cls, value: object) -> object:
        return parse_duration(value) if isinstance(value, str) else value

    @field_validator("spool_max_bytes", mode="before")
    @classmethod
    def _parse_size(cls, value: object) -> object:
        return parse_size(value) if isinstance(value, str) else value

    @field_validator("data_dir")
    @classmethod
    def _expand_home(cls, value: Path) -> Path:
        return expand_home(value)

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())
        except ValueError:
            raise ValueError("must be networks or addresses, comma-separated, such as 10.0.0.0/8, 192.0.2.7") from None

    @field_validator("host")
    @classmethod
    def _check_host(cls, value: str) -> str:
        """Check the host and remove the brackets of an IPv6 address."""
        if not _HOST_NAME.fullmatch(value) and not _is_address(value):
            raise ValueError("must be an IP address or a host name, without scheme and port")
        return value[1:-1] if value.startswith("[") else value

    @field_validator("public_base_urls", mode="before")
    @classmethod
    def _split_urls(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(dict.fromkeys(_base_url(part.strip()) for part in value.split(",") if part.strip()))
        return value

    @field_validator("twilio_auth_token", mode="before")
    @classmethod
    def _split_tokens(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(SecretStr(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("twilio_auth_tokens", mode="before")
    @classmethod
    def _parse_object(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            parsed = json.loads(value)
        except json.JSONDecodeError as error:
            raise ValueError(f"is no JSON: {error.msg} at character {error.pos + 1}") from None
        if not isinstance(parsed, dict):
            raise ValueError("must be a JSON object")  # noqa: TRY004  # pydantic turns ValueError into a complaint
        return cast("dict[str, object]", parsed)

    @field_validator("twilio_shared_keys", mode="before")
    @classmethod
    def _expand_shared_keys(cls, value: object) -> object:
        """Parse the JSON object and expand its short form, ``{"key id": "secret"}``, which means the main account."""
        parsed = cls._parse_object(value)
        if not isinstance(parsed, dict):
            return parsed
        expanded = {
            key_id: {"secret": given} if isinstance(given, str) else given
            for key_id, given in cast("dict[str, object]", parsed).items()
        }
        if not all(isinstance(given, dict) for given in expanded.values()):
            raise ValueError('must give each key a secret, or {"secret": "…", "accounts": ["AC…"]}')
        return expanded

    @field_validator("twilio_account_sid")
    @classmethod
    def _check_account_sid(cls, value: str | None) -> str | None:
        if value is not None and not ACCOUNT_SID.fullmatch(value):
            raise ValueError("must be AC and 32 hexadecimal digits")
        return value

    @field_validator("twilio_api_base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        return _base_url(value)

    @field_validator("database_url")
    @classmethod
    def _check_database_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("must start with postgresql://")
        return value

    # Rules between two settings are checked at the later one, so that no complaint hides another. Rules for a server that listens are
    # in ``tracker.server_settings``.

    @field_validator("twilio_auth_token")
    @classmethod
    def _require_account_of_token(cls, value: tuple[SecretStr, ...], info: ValidationInfo) -> tuple[SecretStr, ...]:
        if value and info.data.get("twilio_account_sid", "") is None:
            raise ValueError("needs TWILIO_ACCOUNT_SID beside it")
        return value

    @field_validator("twilio_auth_tokens")
    @classmethod
    def _check_tokens(cls, value: dict[str, list[SecretStr]]) -> dict[str, list[SecretStr]]:
        for account_sid, tokens in value.items():
            if not ACCOUNT_SID.fullmatch(account_sid):
                raise ValueError("has a name that is no account SID: AC and 32 hexadecimal digits")
            if not tokens or not all(token.get_secret_value() for token in tokens):
                raise ValueError(f"has no token, or an empty one, for {account_sid}")
        return value

    @field_validator("twilio_shared_keys")
    @classmethod
    def _check_shared_keys(
        cls, value: dict[str, SharedKeySetting], info: ValidationInfo
    ) -> dict[str, SharedKeySetting]:
        for key_id, key in value.items():
            if not key_id or not key.secret.get_secret_value():
                raise ValueError("has an empty key id or an empty secret")
            if key.accounts is None:
                if info.data.get("twilio_account_sid", "") is None:
                    raise ValueError(f"needs TWILIO_ACCOUNT_SID beside it, or accounts for {key_id}")
            elif not key.accounts or not all(ACCOUNT_SID.fullmatch(account_sid) for account_sid in key.accounts):
                raise ValueError(f"has for {key_id} no accounts, or one that is not AC and 32 hexadecimal digits")
        return value

    @property
    def public_base_url(self) -> str | None:
        """What links and sends use; None: not configured."""
        return self.public_base_urls[0] if self.public_base_urls else None

    @cached_property
    def uses_development_account(self) -> bool:
        """Whether no token of Twilio's was given, so that one is generated and kept in the data directory."""
        return not (self.twilio_auth_token or self.twilio_auth_tokens or self.twilio_shared_keys)


_Settings = TypeVar("_Settings", bound=Settings)


def load_settings(overrides: Mapping[str, object] | None = None) -> Settings:
    """Read and check all settings, for a command that does not listen. Otherwise as ``load_settings_as``."""
    return load_settings_as(Settings, overrides)


def load_settings_as(model: type[_Settings], overrides: Mapping[str, object] | None = None) -> _Settings:
    """Read and check all settings by the rules of a model.

    overrides: values that go before the environment, by setting name (``TRACKER_PORT``) or field name; None values are
    left out, so that options that were not given change nothing.

    Raises SettingsError with one message that names every setting that is wrong or missing.
    """
    environment = {**dotenv_values(".env"), **os.environ}
    complaints = check_names(environment, setting_names())
    from_files, file_complaints = read_secret_files(environment)
    complaints += file_complaints
    given = from_files | {name: value for name, value in (overrides or {}).items() if value is not None}
    settings = None
    try:
        settings = model(**given)  # pyright: ignore[reportArgumentType]  # the model checks the values itself
    except ValidationError as error:
        complaints += [complaint(item, model.model_fields) for item in error.errors(include_input=False)]
    if settings is None or complaints:
        raise SettingsError("\n  ".join(["The settings are not usable:", *complaints]))
    return settings


def setting_names() -> frozenset[str]:
    """Names of all settings in the environment, in capitals, ``NAME_FILE`` of secrets included."""
    names = {setting_name(field, Settings.model_fields) for field in Settings.model_fields}
    return frozenset(names | {f"{name}_FILE" for name in SECRETS})


def _is_address(host: str) -> bool:
    try:
        ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether a server that listens on ``host`` can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def effective_account(settings: Settings) -> tuple[str, str]:
    """The account and the token to send or simulate with.

    Without tokens and keys in the settings: the development account, with a token that is generated once and kept, readable by its
    owner only, in ``TRACKER_DATA_DIR``. Raises SettingsError when an account or a shared key is configured, but no token.
    """
    if settings.twilio_account_sid and settings.twilio_auth_token:
        return settings.twilio_account_sid, settings.twilio_auth_token[0].get_secret_value()
    for account_sid, tokens in settings.twilio_auth_tokens.items():
        if tokens:
            return account_sid, tokens[0].get_secret_value()
    if settings.twilio_account_sid or settings.twilio_shared_keys:
        raise SettingsError(f"The settings are not usable:\n  TWILIO_AUTH_TOKEN: {TOKEN_MISSING}")
    return DEVELOPMENT_ACCOUNT_SID, generated_secret(development_token_file(settings), characters=32)


def development_token_file(settings: Settings) -> Path:
    """Where the generated token of the development account is kept."""
    return settings.data_dir / "development-auth-token"


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an absolute http or https URL, such as https://status.example.com")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be ASCII without spaces")
    if not _has_usable_port(parts):
        raise ValueError("must have a port from 1 to 65535, or none")
    if parts.query or parts.fragment:
        raise ValueError("must have no query and no fragment")
    return value.rstrip("/")


def _has_usable_port(parts: SplitResult) -> bool:
    try:
        return parts.port != 0
    except ValueError:
        return False
