"""What ``tracker serve`` prints on standard error when it accepts callbacks: addresses, the API token's place, the next step."""

from tracker.commands.invocation import invocation_for
from tracker.server_settings import api_token_file, local_base_url
from tracker.settings import Settings, development_token_file, effective_account
from tracker.web.webhook import PATH

TRIAL = "--messages 300 --rate 100 --concurrency 100"
"""Options of the simulation that is proposed: 8 seconds, in which messages take about a second each to be delivered."""


def banner(settings: Settings, port: int) -> str:
    """The text, without a newline at the end. port: where the server listens. May make the development token, as ``effective_account``."""
    local = local_base_url(settings, port)
    called = settings.public_base_url or local
    lines = [
        "Ready              status callbacks are accepted; Ctrl-C stops everything",
        f"Status callbacks   POST {called}{PATH}",
        f"Overview           {local}/",
        f"API                {local}/api/messages",
        f"API document       {local}/schema",
        f"Metrics            {local}/metrics",
    ]
    if settings.public_base_url is not None:
        lines.append(f"Public address     {settings.public_base_url}/")
    token_file = api_token_file(settings)
    if token_file is not None:
        lines += [
            f"API token          {token_file} (made at the first start: bearer token of the API,",
            "                   password of the pages, for any user name)",
        ]
    if settings.uses_development_account:
        account_sid, _ = effective_account(settings)
        lines += [
            f"Development only   no Twilio auth token is set: one was made for account {account_sid}",
            f"                   and is kept in {development_token_file(settings)}",
            f"Try                {invocation_for(settings, port)} simulate {TRIAL}",
        ]
    return "\n".join(lines)
