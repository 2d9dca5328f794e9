"""Callbacks that did not come from Twilio, or were changed on the way. A tracker answers 403 to each of them."""

import random

from tracker.simulate.traffic.callbacks import Callback, Form, Signer, make_callback, make_signer


class Forger:
    """Makes forged twins of genuine callbacks. signed_url: the URL that the genuine ones are signed for."""

    def __init__(self, signer: Signer, signed_url: str) -> None:
        self._signer = signer
        self._signed_url = signed_url
        self._stranger = make_signer("0123456789abcdef0123456789abcdef")
        self._ways = (self._wrong_token, self._replayed_with_changes, self._other_url, self._no_signature_at_all)

    def forge(self, rng: random.Random, params: Form, idempotency_token: str) -> Callback:
        """A twin of the callback with these parameters, whose signature is wrong."""
        claimed, signature = rng.choice(self._ways)(params)
        return make_callback(claimed, signature, idempotency_token)

    def _wrong_token(self, params: Form) -> tuple[Form, str]:
        return params, self._stranger.compute_signature(self._signed_url, params)

    def _replayed_with_changes(self, params: Form) -> tuple[Form, str]:
        claim = "failed" if params["MessageStatus"] == "delivered" else "delivered"
        changed = Form(params | {"MessageStatus": claim, "SmsStatus": claim})
        return changed, self._signer.compute_signature(self._signed_url, params)

    def _other_url(self, params: Form) -> tuple[Form, str]:
        return params, self._signer.compute_signature("https://elsewhere.example.com/status", params)

    def _no_signature_at_all(self, params: Form) -> tuple[Form, str]:
        return params, "not a signature"
