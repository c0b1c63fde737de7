"""`python -m order_svc serve|migrate|rebuild`."""

from chassis.main import main
from order_svc.app import build
from order_svc.settings import OrderSettings

main("order_svc", OrderSettings, build)
