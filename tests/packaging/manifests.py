"""The Kubernetes manifests as documents: the base as it is written, and what Kustomize makes of a folder.

`rendered` knows as much of Kustomize as our folders use: `resources`, `namespace`, and JSON patches with a target.
Anything else is refused, and a test compares it with `kubectl kustomize` where there is one.
"""

import copy
import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDER: Final = ROOT / "ops" / "kubernetes"
BASE: Final = FOLDER / "base"
OVERLAYS: Final = sorted(path.parent for path in (FOLDER / "overlays").glob("*/kustomization.yaml"))

Document = dict[str, Any]


def documents(path: Path) -> list[Document]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def title(document: Document) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def rendered(folder: Path) -> list[Document]:
    """What `kubectl kustomize FOLDER` prints, in another order.

    Raises:
        AssertionError: the folder asks for something that is not known here, or a patch changes nothing.
        LookupError: a patch names a place that is not there.
    """
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    unknown = plan.keys() - {"apiVersion", "kind", "namespace", "resources", "patches"}
    assert not unknown, f"{folder.name}: {unknown}"
    found: list[Document] = []
    for name in plan["resources"]:
        path = (folder / name).resolve()
        found += rendered(path) if path.is_dir() else documents(path)
    found = copy.deepcopy(found)
    if "namespace" in plan:
        for document in found:
            if document["kind"] != "Namespace":
                document["metadata"]["namespace"] = plan["namespace"]
    for patch in plan.get("patches", []):
        chosen = [document for document in found if _is_meant(document, patch["target"])]
        assert chosen, f"{folder.name}: nothing is meant by {patch['target']}"
        for document in chosen:
            for step in yaml.safe_load(patch["patch"]):
                _change(document, **step)
    return found


def _is_meant(document: Document, target: dict[str, str]) -> bool:
    assert target.keys() <= {"kind", "name"}
    name = re.fullmatch(target.get("name", ".*"), document["metadata"]["name"])
    return name is not None and document["kind"] == target["kind"]


def _change(document: Any, op: str, path: str, value: object = None) -> None:
    """One step of a JSON patch (RFC 6902)."""
    *steps, last = path.strip("/").split("/")
    holder = document
    for step in steps:
        holder = holder[int(step) if isinstance(holder, list) else step]
    place: Any = int(last) if isinstance(holder, list) else last
    if op != "add":
        holder[place]  # what is replaced or removed must be there
    if op == "remove":
        del holder[place]
    else:
        assert op in {"add", "replace"}
        holder[place] = value
