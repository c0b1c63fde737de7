"""The port to a payment provider. Answers are values; an exception is a bug or trouble nobody foresaw."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from contracts.money import Money


@dataclass(frozen=True, slots=True)
class AuthorizeRequest:
    """Hold `amount` on the card behind `payment_method`. The ids go along as the provider's metadata."""

    payment_id: UUID
    order_id: UUID
    amount: Money
    payment_method: str


@dataclass(frozen=True, slots=True)
class Authorized:
    """The whole amount is held. `reference` is the provider's name for the payment in later calls."""

    reference: str


@dataclass(frozen=True, slots=True)
class RequiresAction:
    """The customer has to do something first (3-D Secure); then `confirm`."""

    reference: str
    next_action: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing is held, for good. `code` is the provider's decline code."""

    code: str
    reference: str | None = None


@dataclass(frozen=True, slots=True)
class Captured:
    """The whole amount is taken, by this call or by an earlier one."""


@dataclass(frozen=True, slots=True)
class Voided:
    """Nothing is held any more, by this call or since earlier."""


@dataclass(frozen=True, slots=True)
class Refunded:
    """The amount of this refund is given back."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider will not do it, now or ever. After a refused capture nothing is held any more."""

    code: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can say whether it happened: ask again with the same key. `reason` is for an operator."""

    reason: str


class IntentStatus(StrEnum):
    """Where a payment stands at the provider."""

    REQUIRES_ACTION = "requires_action"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    CAPTURED = "captured"
    VOIDED = "voided"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A payment as the provider has it. `code` says why it was declined; sums are in `amount`'s currency."""

    reference: str
    status: IntentStatus
    amount: Money
    captured: int = 0
    refunded: int = 0
    code: str = ""


@dataclass(frozen=True, slots=True)
class Missing:
    """The provider knows no payment of that reference, or has done nothing under that key."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the provider's own books. The ids are ours, from its metadata; None: it has none, or no valid ones."""

    snapshot: Snapshot
    payment_id: UUID | None
    order_id: UUID | None
    captures: int


@dataclass(frozen=True, slots=True)
class Page:
    """Payments in the order of their last change. `cursor` is where the next page begins, `more` whether it has any."""

    items: tuple[Listed, ...]
    cursor: str
    more: bool


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook says: something happened to a payment. It is never believed, only a reason to look.

    `payment_id` is our own id from the provider's metadata; `relevant` is False for types that mean nothing to us.
    """

    id: str
    type: str
    relevant: bool
    payment_id: UUID | None = None
    amount: Money | None = None


AuthorizeResult = Authorized | RequiresAction | Declined | Unknown
ConfirmResult = Authorized | RequiresAction | Declined | Unknown
CaptureResult = Captured | Refused | Unknown
VoidResult = Voided | Captured | Unknown
RefundResult = Refunded | Refused | Unknown
RetrieveResult = Snapshot | Missing | Unknown
FindResult = Authorized | RequiresAction | Declined | Refunded | Refused | Missing | Unknown
Result = Authorized | RequiresAction | Declined | Captured | Voided | Refunded | Refused | Snapshot | Missing | Unknown


class KeyReusedError(Exception):
    """The same key came with another request: a bug of ours, never retried into success."""


class MalformedNoticeError(ValueError):
    """A webhook body, correctly signed, that is not what the provider sends."""


class PaymentProvider(Protocol):
    """Someone who moves money. Every call is idempotent by its key: same key and request, same answer and one effect.

    "Already captured" and "already voided" are success. Of a reference the provider does not have, nothing is held:
    a capture or refund is refused, a void has happened. Keys may be forgotten after a day; see `find`.
    """

    @property
    def name(self) -> str: ...

    @property
    def remembers(self) -> bool:
        """Whether `list_since` knows every payment ever made; False for one that forgets with its process."""
        ...

    def accepts(self, payment_method: str) -> bool:
        """Whether this is a payment method at all, as far as can be told without asking."""
        ...

    async def authorize(self, key: str, request: AuthorizeRequest) -> AuthorizeResult: ...

    async def confirm(self, key: str, reference: str) -> ConfirmResult:
        """Go on after the customer's action."""
        ...

    async def capture(self, key: str, reference: str, amount: Money) -> CaptureResult: ...

    async def void(self, key: str, reference: str) -> VoidResult:
        """Let the hold go. CAPTURED: too late, it was taken; refund it."""
        ...

    async def refund(self, key: str, reference: str, amount: Money) -> RefundResult: ...

    async def retrieve(self, reference: str) -> RetrieveResult: ...

    async def find(self, key: str) -> FindResult:
        """What an authorisation or refund asked for under this key led to, from the provider's records.

        For calls so old that the provider may have forgotten the key itself and would do them once more.
        """
        ...

    async def list_since(self, cursor: str, limit: int) -> Page | Unknown:
        """The payments changed since a page that ended at `cursor`; from the first one for an empty one.

        This and `retrieve` and `find` give up by themselves when the provider takes too long.
        """
        ...

    def read_notice(self, body: bytes) -> Notice:
        """What a webhook body, its signature checked, says.

        Raises:
            MalformedNoticeError: it is not one of this provider's.
        """
        ...

    async def close(self) -> None:
        """Let connections go."""
        ...
