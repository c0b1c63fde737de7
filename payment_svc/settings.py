"""payment_svc's knobs: `PAYMENT_…` in the environment."""

from typing import Annotated, ClassVar, Final, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings

MIN_SECRET: Final = 16


class PaymentSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="PAYMENT_")

    service: ClassVar[str] = "payment"

    port: int = Field(default=8004, ge=0, le=65535)
    provider: Literal["simulated", "remote"] = "simulated"
    """Who moves the money: `simulated` in this process, `remote` a company behind HTTP (one to play with ships)"""
    provider_url: str = "http://127.0.0.1:8005"
    """Where the remote provider is."""
    provider_key: SecretStr = SecretStr("")
    """What it knows us by; `remote` needs one."""
    webhook_secrets: SecretStr = SecretStr("")
    """Comma-separated, so that one can be replaced without a gap; none: there is no webhook route at all."""
    call_seconds: Annotated[float, Field(gt=0, lt=20)] = 10.0
    """How long a provider may take to answer one call; after that its outcome is unknown and it is asked again."""
    sweep_seconds: Annotated[float, Field(gt=0)] = 1.0
    """How often unfinished calls are looked for."""
    hear_of_order_seconds: Annotated[float, Field(ge=0, le=10)] = 2.0
    """How long a payment waits for its order to become known here: a client may be faster than order_svc's event."""
    slow_card_seconds: Annotated[float, Field(ge=0)] = 3.0
    """How long `pm_card_slow` of the simulated provider takes."""

    reconcile_seconds: Annotated[float, Field(gt=0)] = 30.0
    """How often the provider's own books are compared with ours."""

    keep_answered_days: Annotated[int, Field(ge=7)] = 30
    """How long notices, answered calls and settled differences are kept: longer than a provider sends a notice again
    and than an Idempotency-Key lives. Payments, refunds and the ledger stay for ever."""

    @property
    def secrets(self) -> tuple[str, ...]:
        given = (secret.strip() for secret in self.webhook_secrets.get_secret_value().split(","))
        return tuple(secret for secret in given if secret)

    @model_validator(mode="after")
    def _refuse_guessable_secrets(self) -> Self:
        if any(len(secret) < MIN_SECRET for secret in self.secrets):
            raise ValueError(f"a webhook secret has {MIN_SECRET} characters or more: who guesses it can forge payments")
        return self

    @model_validator(mode="after")
    def _need_a_key(self) -> Self:
        if self.provider == "remote" and len(self.provider_key.get_secret_value()) < MIN_SECRET:
            raise ValueError(f"provider_key: the remote provider needs one of {MIN_SECRET} characters or more")
        return self
