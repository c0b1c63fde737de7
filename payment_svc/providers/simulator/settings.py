"""The simulator's knobs: `SIMULATOR_…` in the environment."""

from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

Share = Annotated[float, Field(ge=0, le=1)]


class FaultSettings(BaseSettings):
    """How badly it behaves; nothing of it by default. Shares are of all calls; the same seed draws the same fates."""

    model_config = SettingsConfigDict(env_prefix="SIMULATOR_", frozen=True, extra="forbid")

    seed: int = 0
    """Of the dice."""
    hang_after: Share = 0.0
    """Does what it is asked and never answers."""
    error_after: Share = 0.0
    """Does what it is asked and answers 500."""
    reset_after: Share = 0.0
    """Does what it is asked and drops the connection."""
    error_before: Share = 0.0
    """Answers 503 and does nothing."""
    slow: Share = 0.0
    """Answers late."""
    slow_seconds: Annotated[float, Field(ge=0)] = 1.0
    """How late; also how late `pm_card_slow` is."""
    hang_seconds: Annotated[float, Field(ge=0)] = 30.0
    """After so long a call without an answer is dropped."""
    webhook_copies: Annotated[int, Field(ge=0, le=10)] = 1
    """How often each webhook is sent; 0: never."""
    webhook_late_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Each is sent after a random time up to this, so that they overtake one another."""
    keys_kept: Annotated[int, Field(ge=0)] = 0
    """Remember only so many of the newest idempotency keys, as Stripe forgets them after a day; 0: all."""

    @classmethod
    def only(cls, **faults: Any) -> Self:
        """These and no others, whatever the environment says.

        Raises:
            ValueError: there is no such fault, or not so much of it.
        """
        return cls(**{name: field.default for name, field in cls.model_fields.items()} | faults)

    @model_validator(mode="after")
    def _one_fate_at_a_time(self) -> Self:
        if self.hang_after + self.error_after + self.reset_after + self.error_before + self.slow > 1:
            raise ValueError("a call has one fate: the shares add up to more than 1")
        return self


class SimulatorSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SIMULATOR_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8005
    """The TCP port to listen on."""
    database: str = ".run/data/simulator.db"
    """Its books, a SQLite file."""
    key: SecretStr = Field(min_length=16)
    """What its customers show as `Authorization: Bearer …`."""
    webhook_url: str = ""
    """Where it tells what happened; none: nowhere."""
    webhook_secret: SecretStr = SecretStr("")
    """Signs webhooks."""
