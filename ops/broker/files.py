"""The files of a private node: its configuration, its cookie, and the environment its programs run in."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Where a node lives and which ports it has; all of them on 127.0.0.1.

    `cluster` are the full names of all nodes it forms a cluster with, itself included; empty for a node alone.
    """

    data_dir: Path
    node_name: str
    amqp_port: int
    management_port: int
    dist_port: int
    epmd_port: int
    cluster: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.node_name}@localhost"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "log" / "broker.log"

    @property
    def console_file(self) -> Path:
        return self.data_dir / "log" / "console.log"

    @property
    def definitions_file(self) -> Path:
        return self.data_dir / "definitions.json"


def write_files(settings: NodeSettings, definitions: Mapping[str, object]) -> None:
    """Make the node's folder ready for a start; what the node stored before stays."""
    folder = settings.data_dir
    for part in (folder, folder / "home", folder / "log", folder / "mnesia"):
        part.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_cookie(settings, secrets.token_hex(20))
    _write_private(settings.definitions_file, json.dumps(definitions))
    (folder / "rabbitmq.conf").write_text(_configuration(settings))
    (folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (folder / "rabbitmq-env.conf").write_text("")


def write_cookie(settings: NodeSettings, cookie: str) -> None:
    """Give the node its secret, unless it has one; the nodes of a cluster share theirs."""
    file = settings.data_dir / "home" / ".erlang.cookie"
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not file.exists():
        _write_private(file, cookie, 0o400)


def environment(settings: NodeSettings) -> dict[str, str]:
    """The environment of the node and its tools: nothing of the machine's own node, cookie or configuration."""
    folder = settings.data_dir
    return {
        **{name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ},
        "HOME": str(folder / "home"),
        "RABBITMQ_NODENAME": settings.full_name,
        "RABBITMQ_DIST_PORT": str(settings.dist_port),
        "RABBITMQ_CTL_DIST_PORT_MIN": "0",
        "RABBITMQ_CTL_DIST_PORT_MAX": "0",
        "ERL_EPMD_PORT": str(settings.epmd_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_FLAGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(folder / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_GENERATED_CONFIG_DIR": str(folder / "config"),
        "RABBITMQ_PID_FILE": str(folder / "rabbit.pid"),
        "RUNNING_UNDER_SYSTEMD": "true",  # the script then becomes the node, instead of waiting for it as its parent
    }


def _configuration(settings: NodeSettings) -> str:
    return f"""\
listeners.tcp.default = 127.0.0.1:{settings.amqp_port}
management.tcp.ip = 127.0.0.1
management.tcp.port = {settings.management_port}
load_definitions = {settings.definitions_file}
log.file = {settings.log_file.name}
log.console = false
# A laptop's share: the default write-ahead log of 512 MB is kept in memory until it is full.
raft.wal_max_size_bytes = 32000000
disk_free_limit.absolute = 200MB
{_formation(settings.cluster)}"""


def _formation(nodes: tuple[str, ...]) -> str:
    if not nodes:
        return ""
    lines = [f"cluster_formation.classic_config.nodes.{number} = {name}" for number, name in enumerate(nodes, 1)]
    backend = "cluster_formation.peer_discovery_backend = rabbit_peer_discovery_classic_config"
    return "\n".join([backend, *lines, "cluster_partition_handling = pause_minority", ""])


def _write_private(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a file that never, not even for a moment, is readable by others."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
