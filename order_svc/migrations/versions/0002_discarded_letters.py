"""order_svc remembers which dead letters its operators threw away."""

from chassis.baseline import create_discarded_letters, drop_discarded_letters

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_discarded_letters()


def downgrade() -> None:
    drop_discarded_letters()
