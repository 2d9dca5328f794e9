"""Rules between settings that concern a server, and the API token that it makes by itself."""

import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tracker.errors import SettingsError
from tracker.generated_secrets import generated_secret
from tracker.server_settings import ServerSettings, api_token_file, effective_api_token, load_server_settings
from tracker.settings import SECRETS, Settings, load_settings

ACCOUNT = "AC" + "1" * 32
TOKEN = {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKEN": "t"}
OTHER_TOKEN = {"TWILIO_AUTH_TOKENS": json.dumps({ACCOUNT: ["t"]})}
SHARED_KEY = {"TWILIO_SHARED_KEYS": json.dumps({"key-1": {"secret": "s", "accounts": [ACCOUNT]}})}
PUBLIC = {"PUBLIC_BASE_URL": "https://status.example.com"}
WIDE = {"TRACKER_HOST": "192.0.2.1", "TRACKER_API_TOKEN": "x"}
PROXIED = {"TRACKER_TRUSTED_PROXIES": "127.0.0.1"}

Load = Callable[..., ServerSettings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Load:
    """Settings of an environment that has these variables alone, in a directory without ``.env``."""
    for field, model in Settings.model_fields.items():
        monkeypatch.delenv(model.alias or field.upper(), raising=False)
    for name in SECRETS:
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.chdir(tmp_path)

    def load(**environment: str) -> ServerSettings:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            return load_server_settings()

    return load


def complaints_of(load: Load, environment: dict[str, str]) -> list[str]:
    """The lines of the one message, without the headline."""
    with pytest.raises(SettingsError) as caught:
        load(**environment)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


BAD = {
    "no API token beyond loopback": (
        {"TRACKER_HOST": "192.0.2.1"},
        ["TRACKER_API_TOKEN: must be set, because TRACKER_HOST 192.0.2.1 is no loopback address"],
    ),
    "no URL beyond loopback": (
        TOKEN | WIDE,
        ["PUBLIC_BASE_URL: must be set, because TRACKER_HOST 192.0.2.1 is no loopback address: Twilio signs the URL"],
    ),
    "no URL behind a proxy": (
        TOKEN | PROXIED,
        ["PUBLIC_BASE_URL: must be set, because TRACKER_TRUSTED_PROXIES is: Twilio signs the URL that it calls"],
    ),
    "no URL for other accounts": (
        OTHER_TOKEN | PROXIED,
        ["PUBLIC_BASE_URL: must be set, because TRACKER_TRUSTED_PROXIES is: Twilio signs the URL that it calls"],
    ),
    "no URL for shared keys": (
        SHARED_KEY | PROXIED,
        ["PUBLIC_BASE_URL: must be set, because TRACKER_TRUSTED_PROXIES is: Twilio signs the URL that it calls"],
    ),
    "an account alone": (
        {"TWILIO_ACCOUNT_SID": ACCOUNT},
        [
            "TWILIO_AUTH_TOKEN: must be set, because TWILIO_ACCOUNT_SID is; TWILIO_AUTH_TOKENS or TWILIO_SHARED_KEYS also serve"
        ],
    ),
}


@pytest.mark.parametrize(("environment", "lines"), BAD.values(), ids=BAD.keys())
def test_what_exposes_or_believes_too_much_stops_the_start(
    load: Load, environment: dict[str, str], lines: list[str]
) -> None:
    """Each rule names the setting that is missing, and the one that requires it."""
    assert complaints_of(load, environment) == lines


def test_rules_between_settings_come_in_the_one_message(load: Load) -> None:
    """Together with each other and with a value that is wrong by itself."""
    environment = {"TRACKER_HOST": "192.0.2.1", "TRACKER_PORT": "http", **OTHER_TOKEN}
    names = {line.partition(":")[0] for line in complaints_of(load, environment)}
    assert names == {"TRACKER_PORT", "PUBLIC_BASE_URL", "TRACKER_API_TOKEN"}


def test_a_wrong_value_is_not_called_a_missing_one(load: Load) -> None:
    """One mistake, one complaint."""
    assert len(complaints_of(load, {"TWILIO_ACCOUNT_SID": ACCOUNT, "TWILIO_AUTH_TOKENS": "{"})) == 1
    assert len(complaints_of(load, TOKEN | PROXIED | {"PUBLIC_BASE_URL": "status.example.com"})) == 1
    assert len(complaints_of(load, TOKEN | {"TRACKER_TRUSTED_PROXIES": "proxy.example"})) == 1


@pytest.mark.parametrize(
    "environment",
    [
        {}, TOKEN, OTHER_TOKEN, SHARED_KEY, WIDE, PROXIED, TOKEN | PUBLIC, TOKEN | WIDE | PUBLIC | PROXIED,
        {"TWILIO_ACCOUNT_SID": ACCOUNT} | OTHER_TOKEN, {"TWILIO_ACCOUNT_SID": ACCOUNT} | SHARED_KEY,
        TOKEN | {"TRACKER_HOST": "::1"},
    ],
    ids=lambda environment: "+".join(environment) or "nothing",
)  # fmt: skip
def test_what_is_safe_starts(load: Load, environment: dict[str, str]) -> None:
    """Each rule applies to what it is about only."""
    load(**environment)


def test_commands_that_do_not_listen_need_none_of_it(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """The image sets TRACKER_HOST for all its commands, of which the projector has no API token."""
    monkeypatch.setenv("TRACKER_HOST", "0.0.0.0")
    assert load_settings().host == "0.0.0.0"


@pytest.mark.parametrize(
    ("environment", "is_made"),
    [
        ({}, False),
        ({"PUBLIC_BASE_URL": "http://localhost:8000"}, False),
        ({"PUBLIC_BASE_URL": "http://[::1]:8000,http://127.1.2.3/prefix"}, False),
        (PUBLIC, True),
        ({"PUBLIC_BASE_URL": "http://localhost:8000,https://status.example.com"}, True),
        ({"PUBLIC_BASE_URL": "http://192.0.2.1"}, True),
        ({"PUBLIC_BASE_URL": "http://localhost.example.com"}, True),
        (PUBLIC | {"TRACKER_API_TOKEN": "own"}, False),
    ],
    ids=str,
)
def test_a_token_is_made_where_the_public_url_leads_here(
    load: Load, environment: dict[str, str], is_made: bool
) -> None:
    """When none is configured and any base URL names a host beyond loopback."""
    settings = load(**environment)
    token = effective_api_token(settings)
    path = settings.data_dir / "api-token"
    assert path.exists() == is_made
    assert api_token_file(settings) == (path if is_made else None)
    expected = path.read_text(encoding="ascii") if is_made else environment.get("TRACKER_API_TOKEN")
    assert (token and token.get_secret_value()) == expected


def test_the_token_is_made_once_for_its_owner_alone(load: Load) -> None:
    """Workers that start together get the same, and nothing else stays in the directory."""
    settings = load(**PUBLIC)
    with ThreadPoolExecutor(8) as pool:
        tokens = {
            token.get_secret_value() for token in pool.map(lambda _: effective_api_token(settings), range(64)) if token
        }
    assert len(tokens) == 1
    (file,) = settings.data_dir.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(file.read_text(encoding="ascii")) == 48


@pytest.mark.parametrize("content", ["", " \n"])
def test_an_empty_file_is_no_secret(tmp_path: Path, content: str) -> None:
    """It would lock everyone out, or let everyone in."""
    path = tmp_path / "api-token"
    path.write_text(content)
    with pytest.raises(SettingsError, match="is empty. Delete it"):
        generated_secret(path, 48)


def test_a_directory_that_cannot_be_made_is_a_settings_error(tmp_path: Path) -> None:
    """One message, with the path and the reason."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"TRACKER_DATA_DIR: cannot read or write .*/file/api-token: File exists"):
        generated_secret(tmp_path / "file" / "api-token", 48)
