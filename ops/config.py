"""Where a local shop runs: ports, folders and credentials, from the environment and from `.run/`."""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from contracts import registry

SERVICES: Final = tuple(registry.SERVICES)
PREFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {service: {"order": "/orders", "payment": "/payments"}.get(service, f"/{service}") for service in SERVICES}
)
"""Where each service's routes begin: under its name, or under what it keeps."""
BROKER_USERS: Final = (*SERVICES, "operator", "monitoring")

MAX_SECONDS: Final = 86_400


class ConfigError(Exception):
    """A setting cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports of a local shop, each settable by the environment variable of the same name in capitals."""

    edge_port: int = 8080
    auth_port: int = 8001
    catalog_port: int = 8002
    order_port: int = 8003
    payment_port: int = 8004
    provider_port: int = 8005
    auditor_port: int = 8006
    amqp_port: int = 5682
    management_port: int = 15682
    broker_dist_port: int = 25682
    broker_epmd_port: int = 4682

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Ports":
        return cls(**{name: _port(environment, name) for name in cls.__slots__ if name.upper() in environment})

    def of(self, service: str) -> int:
        port: int = getattr(self, f"{service}_port")
        return port


@dataclass(frozen=True, slots=True)
class Secrets:
    """What a local shop keeps to itself, made at random on the first start and kept in a file only its owner reads."""

    broker: Mapping[str, str] = field(repr=False)
    auth_master_key: str = field(repr=False)
    operator_email: str
    operator_password: str = field(repr=False)
    customer_email: str
    customer_password: str = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> "Secrets":
        """Those in the file; makes the file if it is not there."""
        if path.exists():
            return cls(**json.loads(path.read_text()))
        made = cls(
            broker={user: secrets.token_urlsafe(18) for user in BROKER_USERS},
            auth_master_key=secrets.token_hex(32),
            operator_email="operator@shop.example",
            operator_password=secrets.token_urlsafe(12),
            customer_email="reader@shop.example",
            customer_password=secrets.token_urlsafe(12),
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({name: getattr(made, name) for name in cls.__slots__}, file, indent=2)
        return made


@dataclass(frozen=True, slots=True)
class ShopConfig:
    """One local shop. `amqp_url`: a broker of yours instead of a private one; `embedded`: no broker at all.

    `remote_provider`: the payment company is a process of its own, behind HTTP. `audit_seconds`: between two audits;
    0: only when an operator asks for one.
    """

    run_dir: Path
    ports: Ports
    secrets: Secrets
    amqp_url: str | None
    embedded: bool
    demo: bool
    remote_provider: bool = False
    audit_seconds: float = 300.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "ShopConfig":
        """
        Raises:
            ConfigError: a variable holds something unusable.
        """
        env = os.environ if environment is None else environment
        run_dir = Path(env.get("RUN_DIR", ".run")).resolve()
        return cls(
            run_dir=run_dir,
            ports=Ports.from_environment(env),
            secrets=Secrets.load(run_dir / "secrets.json"),
            amqp_url=env.get("AMQP_URL") or None,
            embedded=_flag(env, "EMBEDDED", default=False),
            demo=_flag(env, "DEMO", default=True),
            remote_provider=_choice(env, "PROVIDER", "simulated", "remote") == "remote",
            audit_seconds=_seconds(env, "AUDIT_SECONDS", default=300.0),
        )

    @property
    def state_file(self) -> Path:
        """Where a running shop says what it is, for scripts."""
        return self.run_dir / "shop.json"

    @property
    def audit_file(self) -> Path:
        """Where the last audit's result is kept."""
        return self.run_dir / "audit.json"

    def service_url(self, service: str) -> str:
        return f"http://127.0.0.1:{self.ports.of(service)}"

    @property
    def edge_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.edge_port}"

    @property
    def management_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.management_port}"

    def broker_url(self, user: str) -> str:
        """Where `user` reaches the broker: one given by AMQP_URL has a single login for all."""
        if self.amqp_url:
            return self.amqp_url
        return f"amqp://{user}:{self.secrets.broker[user]}@127.0.0.1:{self.ports.amqp_port}/%2F"

    def service_environment(self, service: str) -> dict[str, str]:
        """What a service's process needs to know, beside what is set already."""
        prefix = service.upper()
        own = {
            f"{prefix}_PORT": str(self.ports.of(service)),
            f"{prefix}_AMQP_URL": self.broker_url(service),
            "LOG_FORMAT": "json",
        }
        if self.amqp_url is None and "BROKER_PAGE" not in os.environ:
            own["BROKER_PAGE"] = self.management_url
        if f"{prefix}_DATABASE_URL" not in os.environ:
            own[f"{prefix}_DATABASE_URL"] = f"sqlite+aiosqlite:///{self.run_dir / 'data' / f'{service}.db'}"
        if service == "auth":
            own |= {
                "AUTH_MASTER_KEY": self.secrets.auth_master_key,
                "AUTH_OPERATOR_EMAIL": self.secrets.operator_email,
                "AUTH_OPERATOR_PASSWORD": self.secrets.operator_password,
            }
        else:
            own["AUTH_JWKS_URL"] = f"{self.service_url('auth')}/auth/.well-known/jwks.json"
        if service == "payment" and self.remote_provider:
            own |= {
                "PAYMENT_PROVIDER": "remote",
                "PAYMENT_PROVIDER_URL": f"http://127.0.0.1:{self.ports.provider_port}",
                "PAYMENT_PROVIDER_KEY": self._derived_secret("provider key"),
                "PAYMENT_WEBHOOK_SECRETS": self._derived_secret("webhooks"),
            }
        return own

    def environment(self) -> dict[str, str]:
        """What makes `from_environment` say the same in another process of this shop."""
        return {
            **{name.upper(): str(getattr(self.ports, name)) for name in Ports.__slots__},
            "RUN_DIR": str(self.run_dir),
            "AMQP_URL": self.amqp_url or "",
            "EMBEDDED": "1" if self.embedded else "0",
            "DEMO": "1" if self.demo else "0",
            "PROVIDER": "remote" if self.remote_provider else "simulated",
            "AUDIT_SECONDS": str(self.audit_seconds),
        }

    def provider_environment(self) -> dict[str, str]:
        """What the payment company's process needs to know; how it misbehaves is in `SIMULATOR_…` already."""
        return {
            "SIMULATOR_PORT": str(self.ports.provider_port),
            "SIMULATOR_DATABASE": str(self.run_dir / "data" / "provider.db"),
            "SIMULATOR_KEY": self._derived_secret("provider key"),
            "SIMULATOR_WEBHOOK_URL": f"{self.service_url('payment')}/payments/webhooks/remote",
            "SIMULATOR_WEBHOOK_SECRET": self._derived_secret("webhooks"),
        }

    def _derived_secret(self, purpose: str) -> str:
        """One more secret of this shop, the same at every start, that needs no place in its file."""
        return hmac.new(self.secrets.auth_master_key.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def read_state(path: Path) -> dict[str, Any] | None:
    """What the running shop wrote about itself, None if there is nothing."""
    try:
        state: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return state


def _port(environment: Mapping[str, str], name: str) -> int:
    text = environment[name.upper()]
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigError(f"{name.upper()} is {text!r}, but a port is a number from 1 to 65535")
    return int(text)


def _choice(environment: Mapping[str, str], name: str, *choices: str) -> str:
    """One of the choices; the first, if nothing is said."""
    text = environment.get(name) or choices[0]
    if text not in choices:
        raise ConfigError(f"{name} is {text!r}; say {' or '.join(choices)}")
    return text


def _seconds(environment: Mapping[str, str], name: str, *, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_SECONDS:
        raise ConfigError(f"{name} is {text!r}, but it is a number of seconds from 0 to {MAX_SECONDS}")
    return seconds


def _flag(environment: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environment.get(name, "").lower()
    if text in {"1", "true", "yes", "on"}:
        return True
    if text in {"0", "false", "no", "off"}:
        return False
    if text:
        raise ConfigError(f"{name} is {text!r}; say 1 or 0")
    return default
