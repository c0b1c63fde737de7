"""Sixteen bugs that shops like this one are known for: each a small change of our code, and the test that must notice.

They are the classical ways to lose, double, leak or oversell. A suite that stays green with one of them proves nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Edit = tuple[str, str]
"""A piece of code as it stands, once, in the file; and what the bug makes of it."""


@dataclass(frozen=True)
class SeededBug:
    """`edits` break `file`, and `also` others; `caught_by` are pytest node ids, at least one of which must fail then.

    `needs` names the servers those tests start: `rabbit`, `postgres`.
    """

    name: str
    what: str
    file: str
    edits: Sequence[Edit]
    caught_by: Sequence[str]
    needs: Sequence[str] = ()
    also: Mapping[str, Sequence[Edit]] = field(default_factory=dict)

    @property
    def files(self) -> Mapping[str, Sequence[Edit]]:
        """What is changed in which file."""
        return {self.file: self.edits, **self.also}


BUGS: Final = (
    SeededBug(
        "inbox-off",
        "a redelivered event takes effect again",
        "chassis/writer.py",
        [("elif job.event.id in fresh:", "elif job.event.id:")],
        ["tests/chassis/core/test_consumer.py::test_an_event_is_handled_and_acknowledged[sqlite]"],
    ),
    SeededBug(
        "ack-before-commit",
        "a delivery is acknowledged before its effect is committed",
        "chassis/consumer.py",
        [
            (
                "        waiting = list(deliveries)\n",
                "        await subscription.ack(deliveries)\n        waiting = list(deliveries)\n",
            )
        ],
        ["tests/chassis/core/test_consumer.py::test_nothing_is_acknowledged_before_it_is_committed[sqlite]"],
    ),
    SeededBug(
        "publish-before-commit",
        "an event leaves in a transaction before the one of the change it tells of",
        "chassis/writer.py",
        [
            (
                "            await uow.flush()\n",
                "            early = uow._appended.pop(self._tables.outbox, [])\n"
                "            if early:\n"
                "                await connection.execute(self._tables.outbox.insert(), early)\n"
                "        async with session.transaction() as connection:\n"
                "            await uow.flush()\n",
            )
        ],
        [
            "tests/chassis/core/test_writer.py"
            "::test_a_broken_constraint_is_found_at_the_flush_and_spares_the_others[sqlite]"
        ],
    ),
    SeededBug(
        "sent-before-confirmed",
        "an outbox row is marked sent though the broker did not say it has the event",
        "chassis/relay.py",
        [
            (
                "                    pass  # the row stays as it is",
                '                    confirmed.append(row["id"])  # the row stays as it is',
            )
        ],
        ["tests/chassis/core/test_relay.py::test_an_unknown_outcome_leaves_the_row_and_publishes_again[sqlite]"],
    ),
    SeededBug(
        "mandatory-off",
        "an event that no queue takes is confirmed and gone",
        "chassis/transport/amqp/publisher.py",
        [("mandatory=True", "mandatory=False")],
        ["tests/chassis/transport/test_conformance.py::test_results_are_in_the_order_of_the_messages[amqp]"],
        ["rabbit"],
    ),
    SeededBug(
        "deaf-after-reconnect",
        "a consumer whose connection was lost never consumes again",
        "chassis/transport/amqp/subscription.py",
        [
            (
                "        raise LinkLostError(link.reason or f\"the consumer of '{self.queue}' was cancelled\")",
                "        return",
            )
        ],
        [
            "tests/chassis/transport/test_amqp_faults.py"
            "::test_a_cut_connection_redelivers_what_was_held_and_late_acks_are_harmless"
        ],
        ["rabbit"],
    ),
    SeededBug(
        "synchronous-normal",
        "a commit is answered before it is on the disk",
        "chassis/db.py",
        [('"synchronous": "FULL"', '"synchronous": "NORMAL"'), ('!= ("wal", 2)', '!= ("wal", 1)')],
        ["tests/chassis/core/test_sessions.py::test_what_the_writer_commits_survives_a_power_cut_by_wal_and_full_sync"],
    ),
    SeededBug(
        "check-then-write",
        "stock is looked at without a lock, and written after somebody else took it",
        "chassis/unit_of_work.py",
        [
            (
                "where(wanted).order_by(column).with_for_update()",
                "where(wanted).order_by(column)",
            )
        ],
        ["tests/catalog_svc/test_race.py::test_two_instances_race_for_the_last_units[postgresql]"],
        ["postgres"],
    ),
    SeededBug(
        "fresh-key-per-try",
        "the provider is asked again under another idempotency key, and charges again",
        "payment_svc/courier.py",
        [("operation.id, operation.reference or", 'f"{operation.id}:{operation.attempts}", operation.reference or')],
        ["tests/payment_svc/test_crashes.py::test_a_lost_answer_is_asked_for_again_with_the_same_key[sqlite]"],
    ),
    SeededBug(
        "float-money",
        "a sum goes through a float and comes back a cent short",
        "contracts/money.py",
        [("amount=self.amount * quantity", "amount=int(self.amount / 100 * quantity * 100)")],
        ["tests/contracts/test_money.py::test_times_a_quantity_is_adding_so_often"],
    ),
    SeededBug(
        "no-payment-deadline",
        "an order nobody pays holds its stock for ever",
        "order_svc/domain/order.py",
        [
            (
                '                self._cancel(now, "payment_timeout", Actor.ORDER, "order.cancelled", '
                '"The time to pay ran out.")',
                "                pass",
            )
        ],
        ["tests/order_svc/test_flow.py::test_an_order_nobody_pays_is_cancelled_by_its_deadline[sqlite]"],
    ),
    SeededBug(
        "handler-error-swallowed",
        "an event whose handler failed counts as handled",
        "chassis/consumer.py",
        [("            return _Failed(delivery, error, event_type)", "            return None")],
        [
            "tests/chassis/core/test_consumer.py"
            "::test_a_transient_failure_comes_back_through_the_tiers_until_it_works[sqlite]"
        ],
    ),
    SeededBug(
        "no-version-check",
        "an older event that comes late overwrites a newer one",
        "order_svc/store.py",
        [("known is None or known.version < product.version", "True"), ("products.c.version < sa", "sa.true() != sa")],
        ["tests/order_svc/test_flow.py::test_the_projection_keeps_the_newest_version_of_a_product[sqlite]"],
    ),
    SeededBug(
        "stolen-token-lives",
        "a refresh token used twice does not end the session it belongs to",
        "auth_svc/domain/session.py",
        [("        self.revoke(RevocationReason.REUSE, now)\n", "")],
        ["tests/auth_svc/test_sessions.py::test_there_is_no_grace_once_the_successor_was_used"],
        also={"auth_svc/handlers.py": [("            uow.revoke(session, RevocationReason.REUSE)\n", "")]},
    ),
    SeededBug(
        "ownership-off",
        "whoever knows an order's id can read it",
        "order_svc/queries.py",
        [('if not rows or user_id not in {None, rows[0]["user_id"]}:', "if not rows:")],
        ["tests/order_svc/test_flow.py::test_another_users_order_looks_like_none[sqlite-/timeline]"],
    ),
    SeededBug(
        "no-409-lock",
        "a request repeated while the first one runs is begun a second time",
        "chassis/idempotency.py",
        [("if entry.leased_until is not None and entry.leased_until > now:", "if False:")],
        [
            "tests/chassis/core/test_idempotency.py"
            "::test_an_unfinished_request_is_in_progress_then_resumed_never_restarted[sqlite]"
        ],
    ),
)
