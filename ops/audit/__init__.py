"""The conservation audit: do stock, money and messages add up across the services? Read-only, over their HTTP figures.

`audit(source)` is all of it; a `Source` is a way to reach a shop. What the checks are is in `findings.Check`; they are
pure functions in `orders`, `messages` and `people`, gathered by `tally`, fed by `look`, repeated by `run`.
"""

from ops.audit.findings import ABOUT, DO, Check, Finding, Kind, Look, Report
from ops.audit.kept import keep_report, kept_report
from ops.audit.look import figures, look
from ops.audit.run import LOOKS, PAUSE_SECONDS, audit
from ops.audit.running import HttpSource, running_source
from ops.audit.source import BrokerFigures, Source

__all__ = [
    "ABOUT",
    "DO",
    "LOOKS",
    "PAUSE_SECONDS",
    "BrokerFigures",
    "Check",
    "Finding",
    "HttpSource",
    "Kind",
    "Look",
    "Report",
    "Source",
    "audit",
    "figures",
    "keep_report",
    "kept_report",
    "look",
    "running_source",
]
