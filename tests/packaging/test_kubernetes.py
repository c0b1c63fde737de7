"""The Kubernetes manifests: every name against what it refers to, every variable against who reads it."""

import re
from importlib import import_module
from typing import Any

import pytest
import yaml

from chassis.host import load
from chassis.settings import SHARED, demo_only_fields
from chassis.topology import MONITORING_USER, inbox_queue, shop_rights, shop_topology
from ops.auditor.settings import AuditorSettings
from ops.config import SERVICES
from ops.kubernetes.topology import NotYetError
from ops.kubernetes.topology import load as load_topology
from tests.fixtures.broker import RabbitNode
from tests.packaging.manifests import BASE, FOLDER, ROOT, Document, documents, title

SOURCES: list[str] = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
DOCUMENTS: list[Document] = [document for name in SOURCES for document in documents(BASE / name)]
NAMES = [title(document) for document in DOCUMENTS]

MADE_BY_OPERATORS = {
    "broker-default-user": {"username", "password"},
    **{f"{service}-store-app": {"password"} for service in SERVICES},
}


def of_kind(kind: str) -> dict[str, Document]:
    return {document["metadata"]["name"]: document for document in DOCUMENTS if document["kind"] == kind}


def pod_templates() -> dict[str, Document]:
    workloads = of_kind("Deployment") | of_kind("Job")
    return {name: workload["spec"]["template"] for name, workload in workloads.items()}


def container(name: str) -> Document:
    only: Document = pod_templates()[name]["spec"]["containers"][0]
    return only


def settings_of(service: str) -> Any:
    return load(f"{service}_svc")[1]


def test_names_are_unique_and_every_file_is_built() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert {path.name for path in BASE.glob("*.yaml")} == {*SOURCES, "kustomization.yaml"}


@pytest.mark.parametrize("name", pod_templates())
def test_pods_have_no_more_rights_than_they_need(name: str) -> None:
    spec = pod_templates()[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] >= 10_000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    resources = container(name)["resources"]
    assert resources["requests"].keys() == {"cpu", "memory"}
    assert "memory" in resources["limits"]


def test_selectors_choose_the_pods_they_mean() -> None:
    labels = {name: template["metadata"]["labels"] for name, template in pod_templates().items()}
    for name, service in of_kind("Service").items():
        assert service["spec"]["selector"].items() <= labels[name].items()
        ports = {port["name"]: port["containerPort"] for port in container(name)["ports"]}
        assert ports[service["spec"]["ports"][0]["targetPort"]] == service["spec"]["ports"][0]["port"]
    for name, deployment in of_kind("Deployment").items():
        assert deployment["spec"]["selector"]["matchLabels"].items() <= labels[name].items()
        if deployment["spec"].get("replicas") == 1:
            continue  # nothing to spread, and nothing that must stay
        assert of_kind("PodDisruptionBudget")[name]["spec"]["selector"] == deployment["spec"]["selector"]
        for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert spread["labelSelector"] == deployment["spec"]["selector"]


def secrets_made_by_hand() -> dict[str, set[str]]:
    script = (FOLDER / "secrets.sh").read_text()
    users = re.search(r"for user in ([a-z ]+); do", script)
    assert users
    broker = set(users[1].split()) | set(re.findall(r"\$folder/broker/([a-z-]+)\"$", script, re.MULTILINE))
    return {"shop-broker": broker, "shop-auth": set(re.findall(r"\$folder/auth/([a-z-]+)", script))}


def test_every_secret_that_is_referred_to_is_made_and_none_is_written_down() -> None:
    made = MADE_BY_OPERATORS | secrets_made_by_hand()
    used = [
        (row["valueFrom"]["secretKeyRef"]["name"], row["valueFrom"]["secretKeyRef"]["key"])
        for name in pod_templates()
        for row in container(name)["env"]
        if "valueFrom" in row
    ]
    used += [
        (reference["name"], reference["key"])
        for document in of_kind("TriggerAuthentication").values()
        for reference in document["spec"]["secretTargetRef"]
    ]
    assert [pair for pair in used if pair[1] not in made[pair[0]]] == []
    assert {rights.user for rights in shop_rights()} <= made["shop-broker"]
    assert "Secret" not in {document["kind"] for document in DOCUMENTS}


@pytest.mark.parametrize("service", SERVICES)
def test_settings_accept_the_environment_in_production(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = type(settings_of(service)).model_fields
    known = {f"{service.upper()}_{field.upper()}" for field in fields} | {shared.upper() for shared in SHARED}
    values: dict[str, str] = dict(of_kind("ConfigMap")["shop"]["data"])
    for row in container(service)["env"]:
        text = row.get("value", f"secret-{row['name'].lower()}")
        values[row["name"]] = re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], text)
    passwords = {"STORE_PASSWORD", "BROKER_PASSWORD"}
    assert values.keys() - passwords <= known
    for name in values.keys() - passwords:
        monkeypatch.setenv(name, values[name])
    settings = type(settings_of(service))()
    assert settings.production
    assert settings.host == "0.0.0.0"  # noqa: S104 - inside its pod
    assert settings.database_url == f"postgresql+asyncpg://{service}:secret-store_password@{service}-store-rw/{service}"
    assert settings.amqp_url == f"amqp://{service}:secret-broker_password@broker/%2F"
    assert all(f"{service.upper()}_{field.upper()}" in values for field in demo_only_fields(type(settings)))
    assert container(service)["ports"] == [{"name": "http", "containerPort": settings.port}]


def test_the_auditor_is_told_all_it_asks_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {row["name"]: row.get("value", f"secret-{row['name'].lower()}") for row in container("auditor")["env"]}
    assert values.keys() <= {f"AUDITOR_{field.upper()}" for field in AuditorSettings.model_fields}
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    settings = AuditorSettings()
    assert settings.host == "0.0.0.0"  # noqa: S104 - inside its pod
    assert container("auditor")["ports"] == [{"name": "http", "containerPort": settings.port}]
    told = settings.shop()
    assert told["services"] == {service: f"http://{service}:{settings_of(service).port}" for service in SERVICES}
    assert told["management"]["user"] == MONITORING_USER
    row = next(row for row in container("auditor")["env"] if row["name"] == "AUDITOR_MANAGEMENT_PASSWORD")
    assert row["valueFrom"]["secretKeyRef"] == {"name": "shop-broker", "key": MONITORING_USER}
    mounted = {mount["mountPath"] for mount in container("auditor")["volumeMounts"]}
    assert str(settings.file.parent) in mounted


def peers(rules: list[Document], port: int) -> set[str]:
    """Which pods a policy's rules name for a port, by their name."""
    chosen = [peer for rule in rules if {"port": port} in rule["ports"] for peer in rule.get("from") or rule["to"]]
    labels = [peer.get("podSelector", {}).get("matchLabels", {}) for peer in chosen]
    return {label["app.kubernetes.io/name"] for label in labels if "app.kubernetes.io/name" in label}


def test_the_auditor_is_asked_by_the_edge_only_and_lets_itself_in_where_it_asks() -> None:
    policies = {name: policy["spec"] for name, policy in of_kind("NetworkPolicy").items()}
    assert peers(policies["auditor"]["ingress"], 8006) == {"edge"}
    assert [rule["ports"] for rule in policies["auditor"]["ingress"]] == [[{"port": 8006}]]
    assert peers(policies["edge"]["egress"], 8006) == {"auditor"}
    assert peers(policies["auditor"]["egress"], 15672) == {"broker"}
    assert "auditor" in peers(policies["broker"]["ingress"], 15672)
    for service in SERVICES:
        assert "auditor" in peers(policies["services"]["ingress"], settings_of(service).port)
        assert {"port": settings_of(service).port} in policies["auditor"]["egress"][0]["ports"]
    assert of_kind("Deployment")["auditor"]["spec"]["replicas"] == 1


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_migrated_and_stopped_gently(service: str) -> None:
    serving, migrating = container(service), container(f"{service}-migrate-0-1-0")
    assert migrating["env"] == serving["env"]
    assert migrating["image"] == serving["image"]
    assert serving["args"] == [f"{service}_svc", "serve"]
    assert migrating["args"] == [f"{service}_svc", "migrate"]
    left = serving["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = pod_templates()[service]["spec"]["terminationGracePeriodSeconds"]
    assert grace > left + 2 * settings_of(service).shutdown_seconds
    assert of_kind("Cluster")[f"{service}-store"]["spec"]["bootstrap"]["initdb"] == {
        "database": service,
        "owner": service,
    }


def test_processes_do_not_want_more_connections_than_a_store_has() -> None:
    for service in SERVICES:
        most = of_kind("ScaledObject")[service]["spec"]["maxReplicaCount"]
        store = of_kind("Cluster")[f"{service}-store"]["spec"]
        assert (most + 1) * 8 < int(store["postgresql"]["parameters"]["max_connections"])


def test_scaling_looks_at_queues_that_exist() -> None:
    queues = {queue.name for queue in shop_topology().queues}
    reads = {binding.queue for binding in shop_topology().bindings}
    for service, scaled in of_kind("ScaledObject").items():
        assert scaled["spec"]["scaleTargetRef"]["name"] in of_kind("Deployment")
        triggers = {trigger["type"]: trigger for trigger in scaled["spec"]["triggers"]}
        assert ("rabbitmq" in triggers) == (inbox_queue(service) in reads)
        if "rabbitmq" in triggers:
            assert triggers["rabbitmq"]["metadata"]["queueName"] == inbox_queue(service)
            assert triggers["rabbitmq"]["authenticationRef"]["name"] in of_kind("TriggerAuthentication")
            assert inbox_queue(service) in queues


def test_the_edge_is_given_the_variables_its_caddyfile_reads_and_the_files_exist() -> None:
    read = set(re.findall(r"\{\$([A-Z_]+)", (ROOT / "edge" / "Caddyfile").read_text()))
    given = {row["name"]: row["value"] for row in container("edge")["env"]}
    assert read == {name for name in given if not name.startswith("XDG_")}
    for service in SERVICES:
        assert given[f"{service.upper()}_UPSTREAM"] == f"{service}:{settings_of(service).port}"
    assert given["AUDITOR_UPSTREAM"] == f"auditor:{AuditorSettings.model_fields['port'].default}"
    copied = re.findall(r"(?m)^COPY (\S+)", (FOLDER / "edge.Dockerfile").read_text())
    assert [name for name in copied if not (ROOT / name).exists()] == []
    backend = of_kind("Ingress")["shop"]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]
    assert backend == {"name": "edge", "port": {"name": "http"}}


def test_commands_are_modules_of_the_image() -> None:
    for name in pod_templates().keys() - {"edge"}:
        module = container(name)["args"][0]
        assert import_module(module)
        assert f"COPY {module.split('.')[0]} " in (ROOT / "Dockerfile").read_text()


@pytest.mark.parametrize("service", SERVICES)
def test_a_store_is_reached_by_its_own_service_only(service: str) -> None:
    policy = of_kind("NetworkPolicy")[f"{service}-store"]["spec"]
    assert policy["podSelector"] == {"matchLabels": {"cnpg.io/cluster": f"{service}-store"}}
    let_in = [peer["podSelector"]["matchLabels"] for peer in policy["ingress"][0]["from"]]
    assert let_in == [{"shop/store": service}, {"cnpg.io/cluster": f"{service}-store"}]
    assert pod_templates()[service]["metadata"]["labels"]["shop/store"] == service


@pytest.mark.rabbit
def test_the_topology_job_waits_for_every_node_and_may_run_again(rabbit: RabbitNode) -> None:
    environment = {
        "MANAGEMENT_URL": rabbit.broker.management_url,
        "ADMIN_USER": "operator",
        "ADMIN_PASSWORD": rabbit.passwords["operator"],
        "BROKER_NODES": "2",
        **{f"{user.upper()}_BROKER_PASSWORD": password for user, password in rabbit.passwords.items()},
    }
    with pytest.raises(NotYetError, match="1 of 2 nodes"):
        load_topology(environment)
    load_topology(environment | {"BROKER_NODES": "1"})
    given = [row["name"] for row in container("topology-0-1-0")["env"]]
    assert set(given) == environment.keys()
