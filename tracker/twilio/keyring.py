"""The keys that may have signed a callback, by account.

A listed account is verified with its own tokens only. The main account's tokens speak for every account that is not listed, because
Twilio does not document which token signs for a subaccount. A shared key
(https://www.twilio.com/docs/usage/webhooks/webhook-shared-keys) speaks for the accounts that are named with it. A request names its
shared key in a header that is not signed, so that header only chooses among configured keys.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tracker.twilio.callback import canonical_account_sid
from tracker.twilio.signature import Algorithm, Key, token_key

_ALGORITHMS: Final[dict[str, Algorithm]] = {"HMAC_SHA1": "sha1", "HMAC_SHA256": "sha256"}
"""Algorithms by Twilio's names."""

_MAX_SETTINGS_HEADER: Final = 512
"""Characters of a settings header; Twilio's have about 80."""


class SharedKey(NamedTuple):
    """A shared key of the settings."""

    secret: str
    account_sids: tuple[str, ...] | None = None
    """Accounts that it speaks for; None: the main account."""


class Keyring:
    """All configured keys. Account SIDs are compared in canonical case."""

    def __init__(
        self,
        tokens: Mapping[str, Sequence[str]],
        main_account_sid: str | None = None,
        shared_keys: Mapping[str, SharedKey] | None = None,
    ) -> None:
        """tokens: auth tokens by account SID, the newest first. shared_keys: by key id."""
        by_account: dict[str, tuple[Key, ...]] = {}
        for given_sid, given_tokens in tokens.items():
            sid = canonical_account_sid(given_sid)
            by_account[sid] = by_account.get(sid, ()) + tuple(token_key(sid, token) for token in given_tokens)
        main = canonical_account_sid(main_account_sid) if main_account_sid else None
        self._by_account = by_account
        self._main = by_account.get(main or "", ())
        self._shared: dict[tuple[str, str], Key] = {}
        self._accounts_of_shared: dict[str, frozenset[str]] = {}
        for key_id, shared in (shared_keys or {}).items():
            given = (main,) if shared.account_sids is None else shared.account_sids
            sids = frozenset(canonical_account_sid(sid) for sid in given if sid)
            self._accounts_of_shared[key_id] = sids
            only = next(iter(sids)) if len(sids) == 1 else None
            for name, algorithm in _ALGORITHMS.items():
                self._shared[key_id, name] = Key(key_id, shared.secret, algorithm, only)
        self._configured = frozenset(by_account).union(*self._accounts_of_shared.values(), (main,) if main else ())

    def keys(self, account_sid: str | None, settings_header: str | None = None) -> Sequence[Key]:
        """The keys to try; none when no configured key can have signed the request.

        account_sid: AccountSid of the request, None or empty when absent. settings_header:
        ``X-Twilio-Webhooks-Signature-Settings``, None when absent: ``key=…,algorithm=…``. As in Twilio's library, no algorithm means
        HMAC_SHA1, and no key means an auth token's signature.
        """
        if settings_header:
            if len(settings_header) > _MAX_SETTINGS_HEADER:
                return ()
            parts = (part.partition("=") for part in settings_header.split(","))
            fields = {name.strip(): value.strip() for name, _, value in parts}
            if "key" in fields:
                return self._shared_keys(fields["key"], (fields.get("algorithm") or "HMAC_SHA1").upper(), account_sid)
        if not account_sid:
            return self._main
        own = self._by_account.get(account_sid)
        return self._by_account.get(canonical_account_sid(account_sid), self._main) if own is None else own

    def is_configured(self, account_sid: str) -> bool:
        """Whether the settings name this account."""
        return canonical_account_sid(account_sid) in self._configured

    def _shared_keys(self, key_id: str, algorithm: str, account_sid: str | None) -> Sequence[Key]:
        key = self._shared.get((key_id, algorithm))
        if key is None or (account_sid and canonical_account_sid(account_sid) not in self._accounts_of_shared[key_id]):
            return ()
        return (key,)
