"""What payment_svc forgets after a while: notices, calls that were answered, and differences that are settled.

Payments, refunds, the ledger and whatever is pending or open stay for ever: the audit compares those.
"""

from typing import Final

from chassis.housekeeping import Prunable
from payment_svc.domain.discrepancy import DiscrepancyState
from payment_svc.domain.operation import OperationState
from payment_svc.tables import discrepancies, operations, webhooks

PRUNES: Final = (
    Prunable("prune_webhook_events", webhooks, webhooks.c.received_at),
    Prunable(
        "prune_provider_operations", operations, operations.c.done_at, operations.c.state == OperationState.DONE.value
    ),
    Prunable(
        "prune_provider_discrepancies",
        discrepancies,
        discrepancies.c.next_at,
        discrepancies.c.state == DiscrepancyState.SETTLED.value,
    ),
)
