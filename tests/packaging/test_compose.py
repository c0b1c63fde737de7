"""compose.yaml, the Dockerfile and what they mount: checked as text, because a desk or CI may have no Docker."""

import copy
import json
import os
import re
import stat
import subprocess
from collections.abc import Mapping
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from chassis.host import load
from chassis.settings import SHARED, ServiceSettings, demo_only_fields
from chassis.topology import MONITORING_USER, shop_rights
from ops.auditor.settings import AuditorSettings
from ops.compose.definitions import passwords
from ops.config import SERVICES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = DOCUMENT["services"]
MIGRATIONS = [f"{service}-migrate" for service in SERVICES]
JOBS = [*MIGRATIONS, "definitions", "demo"]
RUNNING = [name for name in CONTAINERS if name not in JOBS]


def settings_of(service: str) -> type[ServiceSettings]:
    _, settings = load(f"{service}_svc")
    return type(settings)


def secrets_file(folder: Path) -> dict[str, str]:
    """What ops/compose/secrets.sh writes, run in a folder of its own."""
    script = folder / "ops" / "compose" / "secrets.sh"
    script.parent.mkdir(parents=True)
    script.write_text((ROOT / "ops" / "compose" / "secrets.sh").read_text())
    subprocess.run(["sh", str(script)], check=True, capture_output=True)  # noqa: S603, S607 - our own script
    lines = (folder / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def referenced_variables() -> dict[str, str]:
    """Every `${NAME…}` of compose.yaml with what follows the name: `:-default`, `:?complaint` or nothing."""
    text = re.sub(r"(?m)^\s*#.*$", "", (ROOT / "compose.yaml").read_text())
    return dict(re.findall(r"\$\{([A-Z_]+)([^}]*)\}", text))


def spec_problems(document: Mapping[str, Any]) -> list[str]:
    """What the Compose Specification, as `check-jsonschema` brings it, has against a document."""
    folder = files("check_jsonschema") / "builtin_schemas" / "vendor"
    schema = json.loads((folder / "compose-spec.json").read_text())
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(schema).iter_errors(document)]


def test_the_file_is_what_the_compose_specification_says() -> None:
    assert spec_problems(DOCUMENT) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("mem_limits", "1g"), ("restart", 7), ("depends_on", {"broker": {"condition": "ready"}}), ("tmpfs", 7)],
)
def test_a_field_that_does_not_exist_and_a_wrong_value_are_found(field: str, value: object) -> None:
    spoilt = copy.deepcopy(DOCUMENT)
    spoilt["services"]["order"][field] = value
    assert spec_problems(spoilt)


@pytest.mark.parametrize("name", [*SERVICES, *MIGRATIONS])
def test_every_variable_a_service_is_given_is_one_of_its_settings(name: str) -> None:
    service = name.removesuffix("-migrate")
    settings = settings_of(service)
    known = {f"{service.upper()}_{field.upper()}" for field in settings.model_fields} | {s.upper() for s in SHARED}
    known.add("OTEL_EXPORTER_OTLP_ENDPOINT")  # OpenTelemetry's exporter reads it by itself
    assert set(CONTAINERS[name]["environment"]) <= known


@pytest.mark.parametrize("name", [*SERVICES, *MIGRATIONS])
def test_no_service_keeps_a_secret_that_everybody_knows(name: str) -> None:
    service = name.removesuffix("-migrate")
    given = CONTAINERS[name]["environment"]
    for field in demo_only_fields(settings_of(service)):
        value = given[f"{service.upper()}_{field.upper()}"]
        assert re.search(r"\$\{[A-Z_]+:\?", value), f"{field} of {name} must come from .env, without a default"


def test_secrets_are_required_and_only_harmless_settings_have_a_default() -> None:
    for name, rest in referenced_variables().items():
        assert rest.startswith(":?" if name.endswith(("PASSWORD", "KEY", "EMAIL")) else ":-"), name


def test_the_secrets_script_makes_every_variable_compose_asks_for(tmp_path: Path) -> None:
    made = secrets_file(tmp_path)
    assert made.keys() == referenced_variables().keys()
    secrets = [value for name, value in made.items() if name.endswith(("PASSWORD", "KEY"))]
    assert len(set(secrets)) == len(secrets)
    assert all(re.fullmatch(r"[0-9a-f]{48}", secret) for secret in secrets)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_the_secrets_script_overwrites_nothing(tmp_path: Path) -> None:
    before = secrets_file(tmp_path)
    again = subprocess.run(  # noqa: S603 - our own script
        ["sh", str(tmp_path / "ops" / "compose" / "secrets.sh")],  # noqa: S607
        check=False,
        capture_output=True,
        text=True,
    )
    assert again.returncode == 1
    assert "already" in again.stderr
    assert before["AUTH_MASTER_KEY"] in (tmp_path / ".env").read_text()


def _filled_in(value: str, values: Mapping[str, str]) -> str:
    """As Compose would: what the file says, or else the default."""

    def given(match: re.Match[str]) -> str:
        return values.get(match[1]) or (match[3] if match[2] == ":-" else values[match[1]])

    return re.sub(r"\$\{([A-Z_]+)(?:(:[-?])([^}]*))?\}", given, value)


@pytest.mark.parametrize("service", SERVICES)
def test_settings_accept_the_environment_in_production(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = secrets_file(tmp_path) | {"PROFILE": "production"}
    for name in [name for name in os.environ if name.startswith(f"{service.upper()}_")]:
        monkeypatch.delenv(name)
    for name, value in CONTAINERS[service]["environment"].items():
        monkeypatch.setenv(name, _filled_in(value, values))
    settings = settings_of(service)()
    assert settings.production
    assert settings.broker_page == "http://127.0.0.1:15682"
    assert settings.host == "0.0.0.0"  # noqa: S104 - inside its container
    assert settings.database_url.startswith(f"postgresql+asyncpg://{service}:")


def test_the_auditor_is_told_all_it_asks_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = secrets_file(tmp_path)
    given = CONTAINERS["auditor"]["environment"]
    assert given.keys() <= {f"AUDITOR_{field.upper()}" for field in AuditorSettings.model_fields}
    for name, value in given.items():
        monkeypatch.setenv(name, _filled_in(value, values))
    settings = AuditorSettings()
    assert settings.host == "0.0.0.0"  # noqa: S104 - inside its container
    assert f":{settings.port}/healthz" in CONTAINERS["auditor"]["healthcheck"]["test"][-1]
    ports = {service: settings_of(service).model_fields["port"].default for service in SERVICES}
    assert settings.shop() == {
        "services": {service: f"http://{service}:{port}" for service, port in ports.items()},
        "operator": {"email": values["OPERATOR_EMAIL"], "password": values["OPERATOR_PASSWORD"]},
        "management": {
            "url": "http://broker:15672",
            "user": MONITORING_USER,
            "password": values["MONITORING_BROKER_PASSWORD"],
        },
    }
    assert str(settings.file.parent) in CONTAINERS["auditor"]["tmpfs"]
    assert "ports" not in CONTAINERS["auditor"], "operators come through the edge"
    for asked in (*SERVICES, "broker", "edge"):
        assert set(CONTAINERS[asked]["networks"]) & set(CONTAINERS["auditor"]["networks"])
    assert CONTAINERS["edge"]["environment"]["AUDITOR_UPSTREAM"] == f"auditor:{settings.port}"


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_have_no_more_rights_than_they_need(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert container["cap_drop"] == ["ALL"]
    assert container.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "edge" else [])
    assert "no-new-privileges:true" in container["security_opt"]
    assert "privileged" not in container
    built_here = "build" in container
    assert built_here or container["user"] not in {"root", "0", "0:0"}


@pytest.mark.parametrize("name", CONTAINERS)
def test_images_are_pinned_to_an_exact_version(name: str) -> None:
    assert re.search(r":v?\d+\.\d+(\.\d+)?(-[a-z]+)?$", CONTAINERS[name]["image"])


@pytest.mark.parametrize("name", RUNNING)
def test_what_runs_says_how_it_is(name: str) -> None:
    assert CONTAINERS[name]["healthcheck"]["test"][0] == "CMD"
    assert CONTAINERS[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_waits_for_its_own_migration_and_can_be_scaled(service: str) -> None:
    container = CONTAINERS[service]
    assert container["depends_on"] == {f"{service}-migrate": {"condition": "service_completed_successfully"}}
    assert "ports" not in container
    assert "container_name" not in container
    port = settings_of(service).model_fields["port"].default
    assert f":{port}/readyz" in container["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", JOBS)
def test_jobs_are_not_restarted_for_ever(name: str) -> None:
    assert CONTAINERS[name]["restart"] in {"no", "on-failure:3"}


@pytest.mark.parametrize("name", [name for name in CONTAINERS if "build" in CONTAINERS[name]])
def test_commands_are_modules_of_the_image(name: str) -> None:
    module = CONTAINERS[name]["command"][0]
    assert import_module(module)
    assert f"COPY {module.split('.')[0]} " in (ROOT / "Dockerfile").read_text()


def test_every_mounted_file_exists() -> None:
    mounts = [mount for container in CONTAINERS.values() for mount in container.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert files
    assert [name for name in files if not (ROOT / name).exists()] == []
    named = {mount.split(":")[0] for mount in mounts} - set(files)
    assert named == set(DOCUMENT["volumes"])


def test_only_the_edge_and_the_operators_pages_have_a_port_on_the_host_and_by_default_on_this_machine_only() -> None:
    ports = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    assert ports.keys() == {"edge", "broker", "grafana"}
    assert ports["edge"][0].startswith("${EDGE_ADDRESS:-127.0.0.1}:")
    assert ports["broker"][0].startswith("127.0.0.1:")
    assert ports["grafana"][0].startswith("127.0.0.1:")


def test_prometheus_asks_every_service_and_can_reach_it() -> None:
    plan = yaml.safe_load((ROOT / "ops" / "observe" / "prometheus" / "prometheus.yml").read_text())
    asked = {found["names"][0]: found["port"] for job in plan["scrape_configs"] for found in job["dns_sd_configs"]}
    assert asked == {service: settings_of(service).model_fields["port"].default for service in SERVICES}
    for name in ("prometheus", "grafana"):
        assert CONTAINERS[name]["profiles"] == ["observe"]
        assert set(CONTAINERS[name]["networks"]) & set(CONTAINERS["order"]["networks"])


def test_nothing_public_reaches_the_bus() -> None:
    assert DOCUMENT["networks"]["bus"]["internal"]
    assert CONTAINERS["edge"]["networks"] == ["front"]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_a_store_of_its_own_that_nobody_else_reaches(service: str) -> None:
    name = f"{service}-store"
    store = CONTAINERS[name]
    assert DOCUMENT["networks"][name]["internal"]
    inside = {other for other, container in CONTAINERS.items() if name in container.get("networks", [])}
    assert inside == {name, service, f"{service}-migrate"}
    assert store["networks"] == [name]
    assert f"{name}:/var/lib/postgresql/data" in store["volumes"]
    assert [mount for mount in store["volumes"] if mount.startswith("./")] == [
        "./ops/compose/store.sh:/docker-entrypoint-initdb.d/10-shop.sh:ro"
    ]
    assert store["environment"]["STORE"] == service
    password = f"${{{service.upper()}_STORE_PASSWORD:?run ops/compose/secrets.sh}}"
    assert store["environment"]["STORE_PASSWORD"] == password
    for user in (service, f"{service}-migrate"):
        url = CONTAINERS[user]["environment"][f"{service.upper()}_DATABASE_URL"]
        assert url == f"postgresql+asyncpg://{service}:{password}@{name}/{service}"
    assert CONTAINERS[f"{service}-migrate"]["depends_on"] == {name: {"condition": "service_healthy"}}


def test_the_edge_is_given_the_variables_its_caddyfile_reads() -> None:
    read = set(re.findall(r"\{\$([A-Z_]+)", (ROOT / "edge" / "Caddyfile").read_text()))
    given = CONTAINERS["edge"]["environment"]
    assert read == given.keys()
    for service in SERVICES:
        port = settings_of(service).model_fields["port"].default
        assert given[f"{service.upper()}_UPSTREAM"] == f"{service}:{port}"
    assert "/srv/shop:ro" in " ".join(CONTAINERS["edge"]["volumes"])
    assert given["EDGE_ROOT"] == "/srv/shop"


def test_the_definitions_job_has_a_password_for_every_broker_user() -> None:
    given = passwords(CONTAINERS["definitions"]["environment"])
    assert given.keys() == {rights.user for rights in shop_rights()}
    assert all(given.values())
    for service in SERVICES:
        assert (
            f"${{{service.upper()}_BROKER_PASSWORD" in CONTAINERS[service]["environment"][f"{service.upper()}_AMQP_URL"]
        )


def test_the_broker_loads_the_file_the_job_writes() -> None:
    target = CONTAINERS["definitions"]["command"][1]
    mounted = next(mount for mount in CONTAINERS["broker"]["volumes"] if mount.startswith("definitions:"))
    inside = mounted.split(":")[1]
    conf = (ROOT / "ops" / "compose" / "rabbitmq.conf").read_text()
    assert f"load_definitions = {inside}/{Path(target).name}" in conf
    assert CONTAINERS["broker"]["depends_on"]["definitions"]["condition"] == "service_completed_successfully"


def test_the_image_is_locked_small_and_not_root() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    bases = re.findall(r"(?m)^FROM (\S+)", dockerfile)
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-bookworm", base) for base in bases)
    assert "--require-hashes" in dockerfile
    assert re.search(r"(?m)^USER \d+:\d+$", dockerfile)
    copied = re.findall(r"(?m)^COPY (?!--from)(\S+)", dockerfile)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == set(copied)
