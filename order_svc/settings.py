"""order_svc's knobs: environment variables `ORDER_…`, beside those every service has."""

from datetime import timedelta
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings


class OrderSettings(ServiceSettings):
    """Deadlines are order_svc's alone; catalog holds stock longer than both together, as a backstop."""

    model_config = SettingsConfigDict(env_prefix="ORDER_", frozen=True, extra="ignore")

    service: ClassVar[str] = "order"

    port: int = Field(default=8003, ge=0, le=65535)
    stock_timeout_seconds: float = Field(default=600, gt=0)
    """How long an order waits for its stock to be held: an outage of catalog up to this long costs no order."""
    payment_timeout_seconds: float = Field(default=900, gt=0)
    """How long a customer has to pay, from when the stock is held."""
    sweep_seconds: float = Field(default=1, gt=0)
    """How often deadlines are looked at."""

    @property
    def stock_within(self) -> timedelta:
        return timedelta(seconds=self.stock_timeout_seconds)

    @property
    def pay_within(self) -> timedelta:
        return timedelta(seconds=self.payment_timeout_seconds)
