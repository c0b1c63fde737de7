"""Which counters an attempt counts against. Their keys are keyed hashes: no address or e-mail is kept."""

import hashlib
import hmac
import ipaddress
from dataclasses import dataclass

from auth_svc.commands import Counted
from auth_svc.settings import AuthSettings


@dataclass(frozen=True, slots=True)
class LoginThrottles:
    """The pair is what a guesser on one account meets first; a known device elsewhere is not locked out by it."""

    pair: Counted
    account: Counted
    address: Counted

    @property
    def all(self) -> tuple[Counted, ...]:
        return (self.pair, self.account, self.address)


class Throttling:
    """Builds the keys. A network counts as one address: /24 for IPv4, /64 for IPv6."""

    def __init__(self, settings: AuthSettings) -> None:
        self._settings = settings
        self._secret = hashlib.sha256(b"throttles" + settings.master_key.get_secret_value().encode()).digest()

    def account(self, email: str) -> str:
        """What everything counted for this address can be found by."""
        return self._key("account", email)

    def login(self, email: str, client: str) -> LoginThrottles:
        account, network, settings = self.account(email), _network(client), self._settings
        return LoginThrottles(
            pair=Counted(self._key("pair", email, network), account, settings.pair_limit),
            account=Counted(account, account, settings.account_limit),
            address=Counted(self._key("address", network), "", settings.address_limit),
        )

    def registration(self, client: str) -> Counted:
        return Counted(self._key("registration", _network(client)), "", self._settings.registration_limit)

    def password_change(self, email: str) -> Counted:
        account = self.account(email)
        return Counted(self._key("password", email), account, self._settings.pair_limit)

    def _key(self, kind: str, *parts: str) -> str:
        return hmac.new(self._secret, "\x1f".join((kind, *parts)).encode(), hashlib.sha256).hexdigest()


def _network(client: str) -> str:
    try:
        address = ipaddress.ip_address(client)
    except ValueError:
        return client
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 64), strict=False))
