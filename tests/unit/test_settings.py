"""Settings: where they come from, and one message for all that is wrong with them."""

import json
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest
import structlog

from tracker.errors import SettingsError
from tracker.settings import (
    DEVELOPMENT_ACCOUNT_SID,
    SECRETS,
    Settings,
    effective_account,
    is_loopback,
    load_settings,
    setting_names,
)

ACCOUNT, OTHER = "AC" + "1" * 32, "AC" + "2" * 32
TOKEN = "the-secret-nobody-may-see"  # a made-up token

NAMES = sorted(setting_names() - {f"{name}_FILE" for name in SECRETS})


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the machine's, and a directory without ``.env``."""
    for name in (*NAMES, *(f"{name}_FILE" for name in SECRETS)):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Settings]:
    """Settings of an environment that has these variables."""

    def load(**environment: str) -> Settings:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return load


def complaints_of(load: Callable[[], object]) -> list[str]:
    """The lines of the one message, without the headline."""
    with pytest.raises(SettingsError) as caught:
        load()
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_nothing_needs_to_be_set() -> None:
    """The defaults serve on this machine alone, with an embedded server and a development token."""
    settings = load_settings()
    assert settings.database_url is None
    assert (settings.host, settings.port, settings.data_dir) == ("127.0.0.1", 8000, Path(".tracker"))
    assert settings.api_token is None
    assert settings.uses_development_account
    assert settings.twilio_api_base_url == "https://api.twilio.com"


def test_every_setting_is_read(load: Callable[..., Settings]) -> None:
    """From the environment, under the name that the README gives."""
    settings = load(
        DATABASE_URL="postgresql://u@h/d",
        PUBLIC_BASE_URL="https://status.example.com:8443/prefix/, http://old.example ,https://status.example.com:8443/prefix",
        TRACKER_API_TOKEN="api",
        TRACKER_APPEND_TIMEOUT="2.5",
        TRACKER_DATA_DIR="/data",
        TRACKER_HOST="0.0.0.0",
        TRACKER_INSTANCE_ID="7b1f6f0e-5d0c-4a53-9a0e-3c2b8f4d9a61",
        TRACKER_LOG_FORMAT="json",
        TRACKER_MAX_CONNECTIONS="100",
        TRACKER_PORT="9000",
        TRACKER_SPOOL_MAX_BYTES="2GiB",
        TRACKER_TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.7 ,2001:db8::/32,",
        TRACKER_WORKERS="4",
        TWILIO_ACCOUNT_SID=ACCOUNT,
        TWILIO_API_BASE_URL="http://127.0.0.1:4010/",
        TWILIO_AUTH_TOKEN="new, old,",
        TWILIO_AUTH_TOKENS=json.dumps({OTHER: ["a", "b"]}),
        TWILIO_SHARED_KEYS=json.dumps({"key-1": "shared", "key-2": {"secret": "other", "accounts": [OTHER]}}),
    )
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u@h/d"
    assert settings.public_base_url == "https://status.example.com:8443/prefix"
    assert settings.public_base_urls == ("https://status.example.com:8443/prefix", "http://old.example")
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "api"
    assert settings.append_timeout == 2.5
    assert settings.data_dir == Path("/data")
    assert (settings.host, settings.port) == ("0.0.0.0", 9000)  # what was set
    assert settings.log_format == "json"
    assert settings.instance_id == UUID("7b1f6f0e-5d0c-4a53-9a0e-3c2b8f4d9a61")
    assert (settings.max_connections, settings.spool_max_bytes) == (100, 2 * 1024**3)
    assert settings.trusted_proxies == tuple(map(ip_network, ("10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32")))
    assert settings.workers == 4
    assert settings.twilio_account_sid == ACCOUNT
    assert settings.twilio_api_base_url == "http://127.0.0.1:4010"
    assert [token.get_secret_value() for token in settings.twilio_auth_token] == ["new", "old"]
    assert [token.get_secret_value() for token in settings.twilio_auth_tokens[OTHER]] == ["a", "b"]
    keys = settings.twilio_shared_keys
    assert {key_id: (key.secret.get_secret_value(), key.accounts) for key_id, key in keys.items()} == {
        "key-1": ("shared", None),
        "key-2": ("other", (OTHER,)),
    }
    assert not settings.uses_development_account


WRONG = {
    "DATABASE_URL": {"mysql://u@h/d": "must start with postgresql://", "host=h": "must start with postgresql://"},
    "PUBLIC_BASE_URL": {
        "status.example.com": "must be an absolute http or https URL",
        "ftp://example.com": "must be an absolute http or https URL",
        "https://": "must be an absolute http or https URL",
        "https://a.example, b.example": "must be an absolute http or https URL",
        "https://exa mple.com": "must be ASCII without spaces",
        "https://exämple.com": "must be ASCII without spaces",
        "https://example.com:0": "must have a port from 1 to 65535",
        "https://example.com:65536": "must have a port from 1 to 65535",
        ",".join(f"https://{number}.example" for number in range(9)): "must have at most 8 values, comma-separated",
        "https://example.com/?a=b": "must have no query and no fragment",
        "https://example.com/#rc=5": "must have no query and no fragment",
    },
    "TRACKER_APPEND_TIMEOUT": {
        "0": "must be a duration of more than 0ms and at most 10s, such as 800ms",
        "11s": "must be a duration of more than 0ms and at most 10s, such as 800ms",
        "soon": "must be a duration, such as 800ms, 30s or 1h",
    },
    "TRACKER_HOST": {
        "127.0.0.1:8000": "must be an IP address or a host name",
        "[::1]:8000": "must be an IP address or a host name",
        "http://127.0.0.1": "must be an IP address or a host name",
        "a host": "must be an IP address or a host name",
        "a..b": "must be an IP address or a host name",
        "[::1": "must be an IP address or a host name",
    },
    "TRACKER_INSTANCE_ID": {"shop": "must be a UUID, such as 7b1f6f0e-5d0c-4a53-9a0e-3c2b8f4d9a61"},
    "TRACKER_MAX_CONNECTIONS": dict.fromkeys(("15", "many"), "must be a whole number, at least 16, such as 4096"),
    "TRACKER_SPOOL_MAX_BYTES": {
        str(2**20 - 1): "must be at least 1MiB, such as 1GiB",
        "much": "must be a size, such as 512MiB or 1GiB",
    },
    "TRACKER_LOG_FORMAT": {"xml": "must be auto, json or console"},
    "TRACKER_PORT": dict.fromkeys(
        ("-1", "65536", "http"), "must be a whole number, at least 0 and at most 65535, such as 8000"
    ),
    "TRACKER_TRUSTED_PROXIES": {"proxy.example": "must be networks or addresses, comma-separated, such as 10.0.0.0/8"},
    "TRACKER_WORKERS": dict.fromkeys(
        ("0", "65", "1.5", "many"), "must be a whole number, at least 1 and at most 64, such as 1"
    ),
    "TWILIO_ACCOUNT_SID": {
        "AC1": "must be AC and 32 hexadecimal digits",
        ACCOUNT + "\n1": "must be AC and 32 hexadecimal digits",
    },
    "TWILIO_API_BASE_URL": {"api.twilio.com": "must be an absolute http or https URL"},
    "TWILIO_AUTH_TOKEN": {TOKEN: "needs TWILIO_ACCOUNT_SID beside it"},
    "TWILIO_AUTH_TOKENS": {
        TOKEN: "is no JSON: Expecting value at character 1",
        f'["{TOKEN}"]': "must be a JSON object",
        json.dumps({TOKEN: ["a"]}): "has a name that is no account SID",
        json.dumps({ACCOUNT: TOKEN}): "must give each account a list of tokens",
        json.dumps({ACCOUNT: []}): "has no token, or an empty one",
        json.dumps({ACCOUNT: [TOKEN, ""]}): "has no token, or an empty one",
    },
    "TWILIO_SHARED_KEYS": {
        f"{{'{TOKEN}'}}": "is no JSON: Expecting property name",
        json.dumps({"key-1": ""}): "has an empty key id or an empty secret",
        json.dumps({"": TOKEN}): "has an empty key id or an empty secret",
        json.dumps({"key-1": [TOKEN]}): "must give each key a secret, or",
        json.dumps([TOKEN]): "must be a JSON object",
        json.dumps({"key-1": TOKEN}): "needs TWILIO_ACCOUNT_SID beside it, or accounts for key-1",
        json.dumps({"key-1": {"accounts": [ACCOUNT]}}): "must give each key a secret",
        json.dumps({"key-1": {"secret": TOKEN, "account": ACCOUNT}}): 'is neither "secret" nor "accounts"',
        json.dumps({"key-1": {"secret": TOKEN, "accounts": []}}): "has for key-1 no accounts",
        json.dumps({"key-1": {"secret": TOKEN, "accounts": ["AC1"]}}): "is not AC and 32 hexadecimal digits",
        json.dumps({"key-1": {"secret": "", "accounts": [ACCOUNT]}}): "has an empty key id or an empty secret",
    },
}


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [(name, value, complaint) for name, cases in WRONG.items() for value, complaint in cases.items()],
    ids=lambda value: repr(value)[:60],
)
def test_a_wrong_value_is_named_and_what_is_right_is_said(
    load: Callable[..., Settings], name: str, value: str, complaint: str
) -> None:
    """By the setting's own name, without repeating what may be a secret."""
    (line,) = complaints_of(lambda: load(**{name: value}))
    assert line.startswith(f"{name}: ")
    assert complaint in line
    assert TOKEN not in line


def test_every_setting_that_can_be_wrong_is_in_the_table() -> None:
    """All but those that accept any text."""
    aliases = {model.alias or field.upper() for field, model in Settings.model_fields.items()}
    free_text = {"TRACKER_API_TOKEN", "TRACKER_DATA_DIR"}
    assert {name for name, cases in WRONG.items() if cases} == aliases - free_text


def test_all_complaints_come_at_once(load: Callable[..., Settings], tmp_path: Path) -> None:
    """Those about one setting, about two together, and about files: nobody wants to start six times to learn of six."""
    lines = complaints_of(
        lambda: load(
            DATABASE_URL="sqlite://",
            PUBLIC_BASE_URL="status.example.com",
            TRACKER_PORT="http",
            TWILIO_AUTH_TOKEN=TOKEN,
            TWILIO_AUTH_TOKENS="{",
            TWILIO_SHARED_KEYS_FILE=str(tmp_path / "missing"),
        )
    )
    assert sorted(line.partition(":")[0] for line in lines) == [
        "DATABASE_URL",
        "PUBLIC_BASE_URL",
        "TRACKER_PORT",
        "TWILIO_AUTH_TOKEN",
        "TWILIO_AUTH_TOKENS",
        "TWILIO_SHARED_KEYS_FILE",
    ]


def test_a_wrong_account_is_not_called_a_missing_one(load: Callable[..., Settings]) -> None:
    """One mistake, one complaint."""
    assert len(complaints_of(lambda: load(TWILIO_ACCOUNT_SID="AC1", TWILIO_AUTH_TOKEN=TOKEN))) == 1


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_value_is_an_unset_one(load: Callable[..., Settings], name: str) -> None:
    """Compose files and ``.env`` templates pass on what is unset as nothing."""
    assert load(**{name: ""}) == load_settings()


HOSTS = {
    "127.0.0.1": True,
    "127.1.2.3": True,
    "localhost": True,
    "::1": True,
    "[::1]": True,
    "0.0.0.0": False,  # the case
    "::": False,
    "192.0.2.1": False,
    "example.com": False,
    "localhost.example.com": False,
    "": False,
}


@pytest.mark.parametrize(("host", "expected"), HOSTS.items())
def test_loopback_hosts(host: str, expected: bool) -> None:
    """A name other than localhost may lead anywhere."""
    assert is_loopback(host) is expected


def test_durations_and_sizes_have_units(load: Callable[..., Settings]) -> None:
    """A number alone means seconds and bytes, as before there were units."""
    plain = load(TRACKER_APPEND_TIMEOUT="1.5", TRACKER_SPOOL_MAX_BYTES="1073741824")
    assert load(TRACKER_APPEND_TIMEOUT="1500ms", TRACKER_SPOOL_MAX_BYTES="1GiB") == plain


def test_no_message_shows_a_regular_expression(load: Callable[..., Settings]) -> None:
    """Nor pydantic's words, for any wrong value of this module."""
    lines = [
        line
        for name, cases in WRONG.items()
        for value in cases
        for line in complaints_of(
            lambda name=name, value=value: load(**{name: value} | dict.fromkeys({*WRONG} - {name}, ""))
        )
    ]
    assert not [line for line in lines if "^" in line or "Input should" in line or "pattern" in line]


def test_a_home_directory_is_found(
    load: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Compose and ``.env`` pass ``~`` on as it is written."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("from-home")
    settings = load(TRACKER_DATA_DIR="~/data", TRACKER_API_TOKEN_FILE="~/token")
    assert settings.data_dir == tmp_path / "data"
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "from-home"
    assert complaints_of(lambda: load(TRACKER_DATA_DIR="~nobody-of-this-name/data")) == [
        "TRACKER_DATA_DIR: has no home directory for ~nobody-of-this-name"
    ]


def test_an_ipv6_address_may_have_brackets(load: Callable[..., Settings]) -> None:
    """They are how URLs write it, and no part of the address to listen on."""
    assert load(TRACKER_HOST="[::1]").host == load(TRACKER_HOST="::1").host == "::1"


def test_a_misspelt_name_stops_the_start(load: Callable[..., Settings], tmp_path: Path) -> None:
    """In the environment and in ``.env``, together with what else is wrong."""
    (tmp_path / ".env").write_text("TRACKER_WORKER=3\nTWILIO_AUTH_TOKN_FILE=token\n")
    lines = complaints_of(lambda: load(DATABASE_URI="postgresql://h/d", TRACKER_PORT="http"))
    assert [line for line in lines if "did you mean" in line] == [
        "TRACKER_WORKER: there is no such setting; did you mean TRACKER_WORKERS?",
        "TWILIO_AUTH_TOKN_FILE: there is no such setting; did you mean TWILIO_AUTH_TOKEN_FILE?",
        "DATABASE_URI: there is no such setting; did you mean DATABASE_URL?",
    ]
    assert any(line.startswith("TRACKER_PORT: ") for line in lines)


def test_an_unknown_name_is_logged_once(load: Callable[..., Settings], tmp_path: Path) -> None:
    """By the server, not by each of its children; names of Twilio's tools and of other programs are none of ours."""
    (tmp_path / ".env").write_text("TRACKER_COLOUR=red\nGRAFANA_ROOT_URL=x\nTRACKER_EMPTY=\n")
    with structlog.testing.capture_logs() as lines:
        load(
            TRACKER_FLAVOUR="sweet", TWILIO_API_KEY="SK1", TWILIO_EDGE="dublin", PUBLIC_KEY="x", DATABASE_POOL_SIZE="5"
        )
    assert [(line["event"], line["names"]) for line in lines] == [
        ("settings.unknown", ["TRACKER_COLOUR", "TRACKER_FLAVOUR"])
    ]
    with structlog.testing.capture_logs() as lines:
        load(TRACKER_PARENT_PIPE="3")
    assert lines == []


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(load: Callable[..., Settings], tmp_path: Path, name: str) -> None:
    """As it would from the environment; the newline that editors put behind it does not count."""
    values = {
        "DATABASE_URL": "postgresql://h/d",
        "TWILIO_AUTH_TOKENS": json.dumps({OTHER: ["a"]}),
        "TWILIO_SHARED_KEYS": json.dumps({"key-1": "s"}),
    }
    value = values.get(name, "secret")
    (tmp_path / "secret").write_text(f"{value}\n")
    from_file = load(TWILIO_ACCOUNT_SID=ACCOUNT, **{f"{name}_FILE": str(tmp_path / "secret")})
    assert from_file != load(**{f"{name}_FILE": ""})
    assert from_file == load(**{name: value})


def test_the_environment_goes_before_a_file(load: Callable[..., Settings], tmp_path: Path) -> None:
    """Even before one that is not there."""
    settings = load(DATABASE_URL="postgresql://environment", DATABASE_URL_FILE=str(tmp_path / "missing"))
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://environment"


def test_files_that_do_not_serve(load: Callable[..., Settings], tmp_path: Path) -> None:
    """Missing, no text, empty: the complaint names the variable and the path, and nothing that stood in the file."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + TOKEN.encode())
    (tmp_path / "empty").write_text(" \n")
    lines = complaints_of(
        lambda: load(
            DATABASE_URL_FILE=str(tmp_path / "missing"),
            TWILIO_AUTH_TOKENS_FILE=str(tmp_path / "binary"),
            TWILIO_SHARED_KEYS_FILE=str(tmp_path),
            TRACKER_API_TOKEN_FILE=str(tmp_path / "empty"),
        )
    )
    assert f"DATABASE_URL_FILE: cannot read {tmp_path}/missing: No such file or directory" in lines
    assert f"TWILIO_AUTH_TOKENS_FILE: cannot read {tmp_path}/binary: it is not UTF-8 text" in lines
    assert f"TWILIO_SHARED_KEYS_FILE: cannot read {tmp_path}: Is a directory" in lines
    assert f"TRACKER_API_TOKEN_FILE: {tmp_path}/empty is empty" in lines
    assert TOKEN not in "".join(lines)


def test_a_dotenv_file_is_read(load: Callable[..., Settings], tmp_path: Path) -> None:
    """Of the working directory, behind the environment; it may name files too."""
    (tmp_path / "token").write_text("from-file")
    (tmp_path / ".env").write_text(
        f"TRACKER_PORT=9000\nTRACKER_WORKERS=2\nTRACKER_API_TOKEN_FILE={tmp_path / 'token'}\n"
    )
    settings = load(TRACKER_PORT="9001")
    assert (settings.port, settings.workers) == (9001, 2)
    assert settings.api_token is not None
    assert settings.api_token.get_secret_value() == "from-file"


@pytest.mark.parametrize("name", ["TRACKER_PORT", "port"])
def test_overrides_go_first(load: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The command line's options, by setting or field name; one that was not given changes nothing."""
    monkeypatch.setenv("TRACKER_PORT", "9000")
    assert load_settings({name: 9001}).port == 9001
    assert load_settings({name: None}).port == 9000


def test_no_secret_is_shown(load: Callable[..., Settings]) -> None:
    """Neither in what a log or a traceback would show of the settings, nor in the complaint of a start that failed."""
    secrets = {
        "DATABASE_URL": f"postgresql://u:{TOKEN}@h/d",
        "TRACKER_API_TOKEN": TOKEN,
        "TWILIO_ACCOUNT_SID": ACCOUNT,
        "TWILIO_AUTH_TOKEN": f"{TOKEN},{TOKEN}-old",
        "TWILIO_AUTH_TOKENS": json.dumps({OTHER: [TOKEN]}),
        "TWILIO_SHARED_KEYS": json.dumps({"key-1": TOKEN}),
    }
    settings = load(**secrets)
    assert TOKEN not in f"{settings!r} {settings} {settings.model_dump()}"
    with pytest.raises(SettingsError) as caught:
        load(TRACKER_PORT="-1")
    assert TOKEN not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_account_to_send_with(load: Callable[..., Settings]) -> None:
    """The main account's newest token; else that of the first account that has one."""
    assert effective_account(load(TWILIO_AUTH_TOKENS=json.dumps({OTHER: ["b", "c"]}))) == (OTHER, "b")
    assert effective_account(load(TWILIO_ACCOUNT_SID=ACCOUNT, TWILIO_AUTH_TOKEN="new,old")) == (ACCOUNT, "new")


@pytest.mark.parametrize(
    "environment",
    [
        {"TWILIO_ACCOUNT_SID": ACCOUNT},
        {"TWILIO_SHARED_KEYS": json.dumps({"key-1": {"secret": "s", "accounts": [ACCOUNT]}})},
    ],
    ids=["account", "shared key"],
)
def test_no_token_is_made_up_for_a_real_account(
    load: Callable[..., Settings], environment: dict[str, str], tmp_path: Path
) -> None:
    """Sending with one would be refused, and a token of the development account would hide why."""
    with pytest.raises(SettingsError, match="TWILIO_AUTH_TOKEN: must be set beside"):
        effective_account(load(**environment))
    assert list(tmp_path.iterdir()) == []


def test_the_development_token_is_made_once(tmp_path: Path) -> None:
    """Starts that come together get the same, nobody else on the machine may read it, and it stays."""
    settings = load_settings({"TRACKER_DATA_DIR": tmp_path / "new" / "data"})
    with ThreadPoolExecutor(8) as pool:
        accounts = set(pool.map(lambda _: effective_account(settings), range(64)))
    ((account_sid, token),) = accounts
    assert account_sid == DEVELOPMENT_ACCOUNT_SID
    assert len(token) == 32
    (file,) = (tmp_path / "new" / "data").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert effective_account(settings) == (account_sid, token)
