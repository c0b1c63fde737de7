"""Rules and dashboards ask for metrics and labels that the services have, and Prometheus takes them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.tools.metrics import declared

OBSERVE = Path(__file__).resolve().parents[2] / "ops" / "observe"
PROMETHEUS = OBSERVE / "prometheus"
DASHBOARDS = sorted((OBSERVE / "grafana" / "dashboards").glob("*.json"))

GIVEN = {"up": set[str](), "process_resident_memory_bytes": set[str]()}
"""Told by Prometheus itself, and by the client library."""
FOREIGN_LABELS = {"job", "instance"}
WORDS = {"by", "or", "and", "without", "unless", "offset", "sum", "max", "rate", "increase", "histogram_quantile"}

_MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels(dashboard: Path) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in json.loads(dashboard.read_text())["panels"] if panel["type"] != "row")


def expressions() -> Iterator[tuple[str, str]]:
    for rule in rules():
        yield str(rule.get("record") or rule["alert"]), rule["expr"]
    for dashboard in DASHBOARDS:
        for panel in panels(dashboard):
            for target in panel["targets"]:
                yield f"{dashboard.stem}: {panel['title']}", target["expr"]


def known() -> dict[str, set[str]]:
    """Every series a query may name, with its labels."""
    series = {name: set(labels) for name, labels in GIVEN.items()}
    for metric in declared():
        for name in metric.series:
            series[name] = {*metric.labels, *(("le",) if name.endswith("_bucket") else ())}
    for rule in rules():
        if "record" in rule:
            series[rule["record"]] = set(re.findall(r"\w+", re.findall(r"by \(([^)]*)\)", rule["expr"])[0]))
    return series


def asked(expression: str) -> tuple[set[str], set[str]]:
    """Names of the series in a query, and every label it matches on or groups by."""
    labels = set(_MATCHER.findall(expression))
    bare = re.sub(r'"[^"]*"', '""', expression)
    for group in re.findall(r"(?:by|without) \(([^)]*)\)", bare):
        labels |= set(re.findall(r"\w+", group))
    bare = re.sub(r"(?:by|without) \([^)]*\)|\{[^}]*\}|\[\w+\]|offset \w+", "", bare)
    names = set(re.findall(r"[a-zA-Z_:][\w:]*", bare)) - WORDS
    return names, labels


@pytest.mark.parametrize(("where", "expression"), [*expressions()])
def test_every_query_names_metrics_and_labels_that_exist(where: str, expression: str) -> None:
    series = known()
    names, labels = asked(expression)
    assert names, where
    assert names <= series.keys(), f"{where}: {names - series.keys()}"
    allowed = FOREIGN_LABELS.union(*(series[name] for name in names))
    assert labels <= allowed, f"{where}: {labels - allowed}"


def test_a_query_for_what_does_not_exist_is_seen() -> None:
    names, labels = asked('sum by (job, colour) (rate(orders_eaten_total{sku="{x}"}[5m])) / 3')
    assert names == {"orders_eaten_total"}
    assert labels == {"job", "colour", "sku"}


def test_names_follow_the_convention() -> None:
    for metric in declared():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.text.endswith("."), metric.name
        assert not re.search(r"_(ms|milliseconds|minutes)$", metric.name), "seconds are the unit"
        assert metric.kind == "counter" or not metric.name.endswith("_total"), "a total is a counter"


def test_every_alert_says_what_it_is_and_what_to_do() -> None:
    alerts = [rule for rule in rules() if "alert" in rule]
    assert len(alerts) > 10
    for alert in alerts:
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert set(alert["annotations"]) == {"summary", "do"}


def test_panels_have_ids_of_their_own_and_the_provisioned_source() -> None:
    source = yaml.safe_load((OBSERVE / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"][0]
    for dashboard in DASHBOARDS:
        shown = [*panels(dashboard)]
        assert len({panel["id"] for panel in shown}) == len(shown) > 10
        assert {panel["datasource"]["uid"] for panel in shown} == {source["uid"]}


def promtool(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it. Where it is missing the test is skipped, or fails where nothing may be skipped (CI)."""
    if shutil.which("promtool") is None:
        if os.environ.get("CI"):
            pytest.fail("promtool is missing; `make test` installs it as root on Debian")
        pytest.skip("promtool is not installed (Debian: prometheus)")
    return subprocess.run(  # noqa: S603 - fixed command
        ["promtool", *arguments],  # noqa: S607 - wherever it is installed
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize("arguments", [("rules", "rules.yml"), ("config", "prometheus.yml"), ("config", "local.yml")])
def test_prometheus_takes_them(arguments: tuple[str, str]) -> None:
    check, file = arguments
    done = promtool("check", check, str(PROMETHEUS / file))
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_on_what_they_say_and_on_nothing_else() -> None:
    done = promtool("test", "rules", str(Path(__file__).parent / "rules_test.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
