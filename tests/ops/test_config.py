"""What the launcher tells each process of a local shop."""

from pathlib import Path

import pytest

from ops.config import ConfigError, ShopConfig
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
