"""A service's knobs, read from the environment: `ORDER_PORT` for order_svc, and a few names all services share."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

SHARED = frozenset(
    {
        "profile",
        "log_level",
        "log_format",
        "amqp_url",
        "journal_url",
        "auth_jwks_url",
        "forwarded_allow_ips",
        "broker_page",
        "traces",
    }
)
"""Settings that may come without the service's prefix; with it they win."""


class DemoOnly:
    """Marks a setting whose default is public knowledge: `PROFILE=production` refuses to start with it."""


class ServiceSettings(BaseSettings):
    """What every service can be told. Subclass with `env_prefix`, the service's name and its port."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    service: ClassVar[str] = "service"

    profile: Literal["demo", "production"] = "demo"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console", "auto"] = "auto"
    database_url: str = Field(default="", repr=False)
    amqp_url: Annotated[str, DemoOnly()] = Field(default="amqp://guest:guest@127.0.0.1:5682/", repr=False)
    journal_url: str | None = Field(default=None, repr=False)
    """Where `rebuild` reads the journal: RabbitMQ with a login that may, as a service's own may not; else `AMQP_URL`"""
    broker_page: str | None = None
    """The address of RabbitMQ's own page, for the link on the operators' page"""
    traces: Literal["off", "otlp"] = "off"
    """`otlp`: export OpenTelemetry traces, to where `OTEL_EXPORTER_OTLP_ENDPOINT` says; needs requirements-otel.txt"""
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    auth_jwks_url: str | None = None
    forwarded_allow_ips: str = "127.0.0.1"
    keep_alive_seconds: int = Field(default=130, ge=1)
    """Longer than an edge keeps an idle connection to us (two minutes), or its next request could meet a closed one."""
    shutdown_seconds: int = Field(default=8, ge=1)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _SharedEnvironment(settings_cls, env_prefix="")

    @property
    def production(self) -> bool:
        return self.profile == "production"

    @model_validator(mode="before")
    @classmethod
    def _name_the_default_store(cls, values: dict[str, object]) -> dict[str, object]:
        if not values.get("database_url"):
            values["database_url"] = f"sqlite+aiosqlite:///.run/data/{cls.service}.db"
        return values

    @model_validator(mode="after")
    def _refuse_demo_secrets(self) -> Self:
        if self.production:
            for name in demo_only_fields(type(self)):
                if getattr(self, name) == type(self).model_fields[name].default:
                    raise ValueError(
                        f"{name} still has its public demo value; set it, or do not use PROFILE=production"
                    )
        return self


def demo_only_fields(settings: type[ServiceSettings]) -> list[str]:
    """The names of the settings marked DemoOnly."""
    return [
        name
        for name, info in settings.model_fields.items()
        if any(isinstance(mark, DemoOnly) for mark in info.metadata)
    ]


class _SharedEnvironment(EnvSettingsSource):
    """The environment without a prefix, for the shared names only: an unrelated `PORT` must not be taken for ours."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        if field_name not in SHARED:
            return None, field_name, False
        return super().get_field_value(field, field_name)
