"""Refusals a client of payment_svc may branch on."""

from chassis.seedwork import DomainError, ErrorKind


class OrderNotPayableError(DomainError):
    """The order is cancelled, its time to pay is over, or payment was not asked for (yet)."""

    def __init__(self, detail: str) -> None:
        super().__init__("order-not-payable", ErrorKind.CONFLICT, detail)


class AlreadyPaidError(DomainError):
    """The order's money is held or taken already."""

    def __init__(self) -> None:
        super().__init__("already-paid", ErrorKind.CONFLICT, "This order is paid for already.")


class PaymentInProgressError(DomainError):
    """Another attempt to pay the order is with the provider: wait for its answer."""

    def __init__(self) -> None:
        super().__init__(
            "payment-in-progress",
            ErrorKind.CONFLICT,
            "Another payment of this order is under way; wait for its answer.",
        )


class RefundExceedsCaptureError(DomainError):
    """More was asked back than was taken and is not on its way back already."""

    def __init__(self) -> None:
        super().__init__(
            "refund-exceeds-capture", ErrorKind.INVALID, "The refund is more than what is left of the captured amount."
        )
