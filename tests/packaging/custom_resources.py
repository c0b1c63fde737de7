"""What a custom resource may say: JSON schemas of the fields our manifests use. Any other field is refused.

Written by hand, because operators' own schemas allow far more than we want to look after. What is here was compared
with theirs, field by field, type by type; each schema names the version. A new field: look it up there first.
"""

from typing import Any, Final

Schema = dict[str, Any]

TEXT: Final[Schema] = {"type": "string", "minLength": 1}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT, "minItems": 1}
FLAG: Final[Schema] = {"type": "boolean"}
NAME: Final[Schema] = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", "maxLength": 63}
CORES: Final[Schema] = {"type": "string", "pattern": "^[1-9][0-9]*m?$"}
BYTES: Final[Schema] = {"type": "string", "pattern": "^[1-9][0-9]*(Mi|Gi)$"}
DIGITS: Final[Schema] = {"type": "string", "pattern": "^[1-9][0-9]*$"}
PAUSE: Final[Schema] = {"type": "string", "pattern": "^[1-9][0-9]*(ms|s|m|h)$"}
STRINGS: Final[Schema] = {"type": "object", "additionalProperties": {"type": "string"}}


def number(least: int) -> Schema:
    return {"type": "integer", "minimum": least}


def one_of(*choices: object) -> Schema:
    return {"enum": list(choices)}


def listed(item: Schema) -> Schema:
    return {"type": "array", "items": item, "minItems": 1}


def fields(required: str = "", /, **known: Schema) -> Schema:
    """An object with these fields and no other; `required` names those that must be there, with spaces between."""
    return {"type": "object", "properties": known, "required": required.split(), "additionalProperties": False}


def resource(version: str, kind: str, spec: Schema) -> Schema:
    """A namespaced object. Our overlays set the namespace."""
    metadata = fields("name", name=NAME, namespace=NAME, labels=STRINGS)
    return fields(
        "apiVersion kind metadata spec",
        apiVersion={"const": version},
        kind={"const": kind},
        metadata=metadata,
        spec=spec,
    )


RESOURCES: Final = fields(requests=fields(cpu=CORES, memory=BYTES), limits=fields(cpu=CORES, memory=BYTES))
SELECTOR: Final = fields(
    matchLabels=STRINGS,
    matchExpressions=listed(
        fields("key operator", key=TEXT, operator=one_of("In", "NotIn", "Exists", "DoesNotExist"), values=TEXTS)
    ),
)
REFERENCE: Final = fields("name", name=NAME)


def rabbitmq_cluster() -> Schema:
    """RabbitMQ Cluster Operator: the Go types of `rabbitmq.com/v1beta1` at its commit 357ebfe, with their limits.

    That is from before 2.0; definitions of 2.x were not to be had. Any number of nodes would be taken, one, three and
    five are tested by them.
    """
    apart = fields("topologyKey", topologyKey=TEXT, labelSelector=SELECTOR)
    spec = fields(
        "replicas image",
        replicas=one_of(1, 3, 5),
        image=TEXT,
        terminationGracePeriodSeconds=number(0),
        persistence=fields("storage", storage=BYTES, storageClassName=NAME),
        resources=RESOURCES,
        affinity=fields(podAntiAffinity=fields(requiredDuringSchedulingIgnoredDuringExecution=listed(apart))),
        rabbitmq=fields(
            additionalConfig={"type": "string", "maxLength": 2000},
            additionalPlugins=listed({"type": "string", "pattern": r"^\w+$", "maxLength": 100}),
        ),
    )
    return resource("rabbitmq.com/v1beta1", "RabbitmqCluster", spec)


def postgres_cluster() -> Schema:
    """CloudNativePG 1.24.1: the custom resource definition of that release, the first with `synchronous`.

    The Go types of a later one have the same fields, and `failoverQuorum`, which we do not use.
    """
    storage = fields("size", size=BYTES, storageClass=NAME)
    spec = fields(
        "instances imageName bootstrap storage",
        instances=number(1),
        imageName=TEXT,
        bootstrap=fields("initdb", initdb=fields("database owner", database=NAME, owner=NAME, secret=REFERENCE)),
        postgresql=fields(
            synchronous=fields(
                "method number",
                method=one_of("any", "first"),
                number=number(1),
                dataDurability=one_of("required", "preferred"),
            ),
            parameters=STRINGS,
        ),
        storage=storage,
        walStorage=storage,
        resources=RESOURCES,
        affinity=fields(
            enablePodAntiAffinity=FLAG, topologyKey=TEXT, podAntiAffinityType=one_of("required", "preferred")
        ),
    )
    return resource("postgresql.cnpg.io/v1", "Cluster", spec)


def scaled_object() -> Schema:
    """KEDA 2.10.1 and 2.16.1: the definition of the one release, models made of the other's.

    To KEDA a trigger's `metadata` is any map of strings. What its scalers read of it is in their source, and is here.
    """
    processor = fields(
        "type metricType metadata",
        type={"const": "cpu"},
        metricType=one_of("Utilization", "AverageValue"),
        metadata=fields("value", value=DIGITS),
    )
    queue = fields(
        "type metadata authenticationRef",
        type={"const": "rabbitmq"},
        metadata=fields(
            "protocol mode value queueName",
            protocol=one_of("auto", "http", "amqp"),
            mode=one_of("QueueLength", "MessageRate"),
            value=DIGITS,
            queueName=TEXT,
            vhostName=TEXT,
        ),
        authenticationRef=REFERENCE,
    )
    slowly = fields(
        horizontalPodAutoscalerConfig=fields(
            behavior=fields(scaleDown=fields(stabilizationWindowSeconds={**number(0), "maximum": 3600}))
        )
    )
    spec = fields(
        "scaleTargetRef minReplicaCount maxReplicaCount triggers",
        scaleTargetRef=REFERENCE,
        minReplicaCount=number(0),
        maxReplicaCount=number(1),
        pollingInterval=number(1),
        cooldownPeriod=number(0),
        advanced=slowly,
        triggers=listed({"oneOf": [processor, queue]}),
    )
    return resource("keda.sh/v1alpha1", "ScaledObject", spec)


def trigger_authentication() -> Schema:
    """KEDA 2.10.1 and 2.16.1, as for `scaled_object`."""
    taken = fields("parameter name key", parameter=one_of("host", "username", "password"), name=NAME, key=TEXT)
    return resource(
        "keda.sh/v1alpha1", "TriggerAuthentication", fields("secretTargetRef", secretTargetRef=listed(taken))
    )


def pod_monitor() -> Schema:
    """Prometheus Operator 0.80.1: models made of its definitions."""
    copied = fields("sourceLabels targetLabel", sourceLabels=TEXTS, targetLabel=TEXT)
    endpoint = fields(
        "port",
        port=TEXT,
        path={"type": "string", "pattern": "^/"},
        interval=PAUSE,
        params={"type": "object", "additionalProperties": TEXTS},
        relabelings=listed(copied),
    )
    spec = fields("selector podMetricsEndpoints", selector=SELECTOR, podMetricsEndpoints=listed(endpoint))
    return resource("monitoring.coreos.com/v1", "PodMonitor", spec)


SCHEMAS: Final = {
    f"{schema['properties']['apiVersion']['const']} {schema['properties']['kind']['const']}": schema
    for schema in (rabbitmq_cluster(), postgres_cluster(), scaled_object(), trigger_authentication(), pod_monitor())
}
"""By `apiVersion kind`."""
