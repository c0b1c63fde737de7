"""Settings come from the environment; public demo values do not get into production."""

from typing import Annotated, ClassVar

import pytest
from pydantic import SecretStr, ValidationError

from chassis.settings import DemoOnly, ServiceSettings


class OrderSettings(ServiceSettings, env_prefix="ORDER_"):
    service: ClassVar[str] = "order"
    port: int = 8003
    key: Annotated[SecretStr, DemoOnly()] = SecretStr("demo")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PROFILE", "AMQP_URL", "ORDER_AMQP_URL", "PORT", "ORDER_PORT", "ORDER_KEY", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_a_demo_on_this_machine() -> None:
    settings = OrderSettings()
    assert settings.database_url == "sqlite+aiosqlite:///.run/data/order.db"
    assert (settings.host, settings.port, settings.production) == ("127.0.0.1", 8003, False)


def test_own_names_have_the_prefix_and_shared_ones_may_do_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("ORDER_PORT", "9003")
    monkeypatch.setenv("AMQP_URL", "amqp://all")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert OrderSettings().port == 9003
    assert OrderSettings().amqp_url == "amqp://all"
    assert OrderSettings().log_level == "debug"
    monkeypatch.setenv("ORDER_AMQP_URL", "amqp://order")
    assert OrderSettings().amqp_url == "amqp://order"


@pytest.mark.parametrize("given", [{}, {"key": "own"}, {"amqp_url": "amqp://own"}])
def test_production_refuses_what_is_public(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="public demo value"):
        OrderSettings.model_validate({"profile": "production", **given})


def test_production_starts_with_secrets_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROFILE", "production")
    monkeypatch.setenv("ORDER_KEY", "own")
    monkeypatch.setenv("AMQP_URL", "amqps://own:canary@broker/")
    settings = OrderSettings()
    assert settings.production
    assert "canary" not in repr(settings)
