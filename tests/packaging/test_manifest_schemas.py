"""Every manifest, as Kustomize renders it, against the schema of its kind; and that faults would be found.

Kubernetes' own kinds: the schemas of Kubernetes that `kubernetes-validate` brings, in their strict form, of the oldest
version we promise and of the newest there is. Custom kinds: `custom_resources`.
"""

import copy
import json
import re
import shutil
import subprocess
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from referencing import Registry
from referencing.jsonschema import DRAFT7

from tests.packaging.custom_resources import SCHEMAS
from tests.packaging.manifests import BASE, OVERLAYS, Document, rendered, title

KUBERNETES = files("kubernetes_validate") / "kubernetes-json-schema"
OLDEST = "1.30.0"
"""What docs/deployment.md promises; `preStop: sleep` needs it."""
NEWEST = max(
    (folder.name.split("-")[0].removeprefix("v") for folder in KUBERNETES.iterdir() if folder.name.startswith("v")),
    key=lambda version: [int(part) for part in version.split(".")],
)
VERSIONS = [OLDEST, NEWEST]
RENDERED = {folder: {title(document): document for document in rendered(folder)} for folder in (BASE, *OVERLAYS)}
EVERY = [
    pytest.param(document, id=f"{folder.name}: {name}")
    for folder, found in RENDERED.items()
    for name, document in found.items()
]
KINDS = {document["kind"]: document for document in RENDERED[BASE].values()}
FREE = re.compile(
    r".*\.(labels|matchLabels)|Service\.spec\.selector|ConfigMap\.data"
    r"|Cluster\.spec\.postgresql\.parameters|PodMonitor\..*\.params"
)
"""Where any name is right: what it means is its reader's business."""


@cache
def _registry(version: str) -> Registry[Any]:
    text = (KUBERNETES / f"v{version}-local-strict" / "_definitions.json").read_text()
    definitions = DRAFT7.create_resource(json.loads(text))
    registry: Registry[Any] = Registry().with_resource("_definitions.json", definitions)
    return registry


@cache
def _validator(version: str, api: str, kind: str) -> Any:
    if custom := SCHEMAS.get(f"{api} {kind}"):
        return jsonschema.Draft202012Validator(custom)
    group, _, level = api.rpartition("/")
    name = "-".join(part for part in (kind.lower(), group.split(".")[0], level) if part)
    schema = json.loads((KUBERNETES / f"v{version}-local-strict" / f"{name}.json").read_text())
    return jsonschema.Draft7Validator(schema, registry=_registry(version))


def problems(document: Document, version: str = OLDEST) -> list[str]:
    found = _validator(version, document["apiVersion"], document["kind"]).iter_errors(document)
    return [f"{error.json_path}: {error.message}" for error in found]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("document", EVERY)
def test_every_document_is_what_its_kind_says(document: Document, version: str) -> None:
    assert problems(document, version) == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_field_that_does_not_exist_is_found_wherever_it_is(kind: str, version: str) -> None:
    document = copy.deepcopy(KINDS[kind])
    for path, holder in _objects(document, kind):
        if FREE.fullmatch(path):
            continue
        holder["misspelt"] = {"not": "there"}
        assert problems(document, version), f"a field more in {path} is not found"
        del holder["misspelt"]
    assert problems(document, version) == []


def _objects(value: Any, path: str) -> list[tuple[str, Document]]:
    """Every object in a document, with where it is."""
    if isinstance(value, list):
        return [found for index, item in enumerate(value) for found in _objects(item, f"{path}[{index}]")]
    if not isinstance(value, dict):
        return []
    return [(path, value), *(found for key, item in value.items() for found in _objects(item, f"{path}.{key}"))]


FAULTS: list[tuple[str, str, object]] = [
    ("RabbitmqCluster broker", "spec.replicas", "3"),
    ("RabbitmqCluster broker", "spec.replicas", 2),
    ("RabbitmqCluster broker", "spec.persistence.storage", "50GB"),
    ("RabbitmqCluster broker", "spec.rabbitmq.additionalConfig", ["a = b"]),
    ("Cluster order-store", "apiVersion", "postgresql.cnpg.io/v2"),
    ("Cluster order-store", "spec.instances", 0),
    ("Cluster order-store", "spec.postgresql.synchronous.method", "all"),
    ("Cluster order-store", "spec.postgresql.synchronous.number", "1"),
    ("Cluster order-store", "spec.postgresql.parameters.max_connections", 200),
    ("Cluster order-store", "spec.affinity.podAntiAffinityType", "hard"),
    ("ScaledObject order", "spec.minReplicaCount", "2"),
    ("ScaledObject order", "spec.triggers.0.type", "processor"),
    ("ScaledObject order", "spec.triggers.0.metadata.value", 80),
    ("ScaledObject order", "spec.triggers.1.metadata.mode", "Length"),
    ("ScaledObject order", "spec.triggers.1.metadata.protocol", "https"),
    ("TriggerAuthentication queue-length", "spec.secretTargetRef.0.parameter", "url"),
    ("PodMonitor services", "spec.podMetricsEndpoints.0.interval", 15),
    ("Deployment order", "spec.strategy.rollingUpdate.maxSurge", [1]),
    ("Deployment order", "spec.template.spec.containers.0.ports.0.containerPort", "8003"),
    ("NetworkPolicy services", "spec.podSelector", "order"),
    ("Ingress shop", "spec.rules.0.http.paths.0.backend.service.port.name", 8080),
]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "path", "value"), FAULTS, ids=[f"{name} {path}={value}" for name, path, value in FAULTS]
)
def test_a_wrong_value_is_found(name: str, path: str, value: object, version: str) -> None:
    document = copy.deepcopy(RENDERED[BASE][name])
    *steps, last = path.split(".")
    holder: Any = document
    for step in steps:
        holder = holder[int(step) if isinstance(holder, list) else step]
    assert holder[last] != value
    holder[last] = value
    try:
        assert problems(document, version)
    except FileNotFoundError:
        assert last == "apiVersion", "no such version of the kind"


@pytest.mark.parametrize("name", ["replicas", "image"])
def test_a_field_that_is_missing_is_found(name: str) -> None:
    document = copy.deepcopy(KINDS["RabbitmqCluster"])
    del document["spec"][name]
    assert problems(document)


@pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda folder: folder.name)
def test_what_is_checked_is_what_kustomize_renders(folder: Path) -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = ["kubectl", "kustomize", str(folder)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout  # noqa: S603 - ours
    theirs = {title(document): document for document in yaml.safe_load_all(printed)}
    assert theirs == RENDERED[folder]
