"""auth_svc's knobs: environment variables `AUTH_…`, beside those every service has."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from auth_svc.domain.throttle import Limit
from chassis.settings import DemoOnly, ServiceSettings


class AuthSettings(ServiceSettings):
    """Limits are made for an open shop; a load test may raise them."""

    model_config = SettingsConfigDict(env_prefix="AUTH_", frozen=True, extra="ignore")

    service: ClassVar[str] = "auth"

    port: int = Field(default=8001, ge=0, le=65535)
    master_key: Annotated[SecretStr, DemoOnly()] = SecretStr("demo master key, known to everybody")
    """Seals the signing keys in the store. Changing it means new signing keys."""
    operator_email: str = "operator@example.com"
    """The first operator, made at start if there is no such account; empty for none."""
    operator_password: Annotated[SecretStr, DemoOnly()] = SecretStr("shopkeeper behind the counter")

    argon2_memory_kib: int = Field(default=19_456, ge=8)
    argon2_passes: int = Field(default=2, ge=1)
    argon2_threads: int = Field(default=1, ge=1, le=8)

    login_attempts: int = Field(default=5, ge=1)
    """Wrong passwords for one account from one address in 15 minutes; after that 2, 4, 8 … seconds apiece."""
    account_attempts_per_hour: int = Field(default=50, ge=1)
    """Wrong passwords for one account, whatever the address."""
    address_attempts: int = Field(default=100, ge=1)
    """Wrong passwords from one address in 15 minutes, whatever the account."""
    registrations_per_hour: int = Field(default=1_000, ge=1)
    """New accounts from one address."""

    @property
    def secure_cookies(self) -> bool:
        return self.production

    @property
    def pair_limit(self) -> Limit:
        return Limit(self.login_attempts, timedelta(minutes=15), backoff=True)

    @property
    def account_limit(self) -> Limit:
        return Limit(self.account_attempts_per_hour, timedelta(hours=1))

    @property
    def address_limit(self) -> Limit:
        return Limit(self.address_attempts, timedelta(minutes=15))

    @property
    def registration_limit(self) -> Limit:
        return Limit(self.registrations_per_hour, timedelta(hours=1))
