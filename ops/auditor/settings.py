"""What an auditor is told that no `make run` started: where it finds the services, and as whom it asks."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from contracts.registry import SERVICES
from ops.config import MAX_SECONDS

Url = Annotated[str, Field(pattern="^https?://")]


class AuditorSettings(BaseSettings):
    """`AUDITOR_…` in the environment."""

    model_config = SettingsConfigDict(env_prefix="AUDITOR_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=1, le=65535)] = 8006
    """The TCP port to listen on."""
    auth_url: Url
    """Where auth_svc is, for its figures, the operator's login and who may read the audit."""
    catalog_url: Url
    """Where catalog_svc is."""
    order_url: Url
    """Where order_svc is."""
    payment_url: Url
    """Where payment_svc is."""
    operator_email: str
    """The operator it asks the services as."""
    operator_password: SecretStr
    """That operator's password; if it was changed in the shop, change it here too."""
    management_url: str = ""
    """RabbitMQ's management API, for what lies in the queues; without it they are not looked at."""
    management_user: str = "monitoring"
    """A login there that may look."""
    management_password: SecretStr = SecretStr("")
    """Its password."""
    file: Path = Path("/tmp/audit.json")  # noqa: S108 - a container's own; written in one step, for its owner only
    """Where the last audit is kept; a lost one is run anew."""
    every_seconds: Annotated[float, Field(ge=0, le=MAX_SECONDS)] = 300.0
    """How long from one audit to the next; 0: only when an operator asks for one."""

    def shop(self) -> dict[str, Any]:
        """The shop as `ShopApi` wants it told: what `make run` writes into shop.json, as far as an audit needs it."""
        told: dict[str, Any] = {
            "services": {service: getattr(self, f"{service}_url").rstrip("/") for service in SERVICES},
            "operator": {"email": self.operator_email, "password": self.operator_password.get_secret_value()},
        }
        if self.management_url:
            told["management"] = {
                "url": self.management_url,
                "user": self.management_user,
                "password": self.management_password.get_secret_value(),
            }
        return told
