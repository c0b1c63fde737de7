"""catalog_svc's knobs: `CATALOG_…` in the environment."""

from datetime import timedelta
from typing import Annotated, ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from chassis.settings import ServiceSettings
from contracts.money import Currency


class CatalogSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="CATALOG_")

    service: ClassVar[str] = "catalog"

    port: int = Field(default=8002, ge=0, le=65535)
    currency: Currency = "EUR"
    """The one currency of all prices."""
    reservation_ttl_seconds: Annotated[int, Field(ge=60)] = 30 * 60
    """How long stock is held, counted from order's own deadline. A backstop: longer than a customer may take to pay,
    so that order_svc, which decides, has always spoken before."""
    expiry_every_seconds: Annotated[float, Field(gt=0)] = 5.0
    """How often overdue reservations are looked for."""
    cache_max_age_seconds: Annotated[int, Field(ge=0, le=3600)] = 5
    """How long a browser or proxy may show a page of the catalog without asking; an order decides with the truth."""

    @property
    def reservation_ttl(self) -> timedelta:
        return timedelta(seconds=self.reservation_ttl_seconds)

    @property
    def cache_control(self) -> str:
        return f"public, max-age={self.cache_max_age_seconds}"
