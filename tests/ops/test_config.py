"""What the launcher tells each process of a local shop."""

from dataclasses import replace
from pathlib import Path

import pytest

from ops.config import ConfigError, Ports, Secrets, ShopConfig
from payment_svc.providers.simulator.settings import SimulatorSettings
from payment_svc.settings import PaymentSettings


def test_the_payment_provider_is_in_process_unless_asked_for(tmp_path: Path) -> None:
    config = ShopConfig.from_environment({"RUN_DIR": str(tmp_path)})

    assert not config.remote_provider
    assert "PAYMENT_PROVIDER" not in config.service_environment("payment")


def test_payment_svc_and_the_remote_provider_are_told_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"RUN_DIR": str(tmp_path), "PROVIDER": "remote", "PROVIDER_PORT": "9005", "PAYMENT_PORT": "9004"}
    config = ShopConfig.from_environment(environment)
    for name, value in (config.service_environment("payment") | config.provider_environment()).items():
        monkeypatch.setenv(name, value)

    merchant, company = PaymentSettings(), SimulatorSettings()

    assert (merchant.provider, merchant.provider_url) == ("remote", "http://127.0.0.1:9005")
    assert merchant.provider_key == company.key
    assert merchant.secrets == (company.webhook_secret.get_secret_value(),)
    assert (company.port, company.webhook_url) == (9005, "http://127.0.0.1:9004/payments/webhooks/remote")
    again = ShopConfig.from_environment(environment)
    assert again.provider_environment() == config.provider_environment(), "or a restart would lock itself out"


def test_a_provider_nobody_knows(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="PROVIDER is 'stripe'"):
        ShopConfig.from_environment({"RUN_DIR": str(tmp_path), "PROVIDER": "stripe"})


def test_another_process_of_the_shop_is_told_all_of_it(tmp_path: Path) -> None:
    ports = Ports(**{name: 2000 + number for number, name in enumerate(Ports.__slots__)})
    secrets = Secrets.load(tmp_path / "secrets.json")
    config = ShopConfig(tmp_path, ports, secrets, "amqp://a:b@c/", embedded=True, demo=False)
    config = replace(config, remote_provider=True, audit_seconds=7.5)
    assert ShopConfig.from_environment(config.environment()) == config
    plain = ShopConfig(tmp_path, Ports(), secrets, None, embedded=False, demo=True)
    assert ShopConfig.from_environment(plain.environment()) == plain
