"""`python -m payment_svc serve|migrate|rebuild`."""

from chassis.main import main
from payment_svc.app import build
from payment_svc.settings import PaymentSettings

if __name__ == "__main__":
    main("payment_svc", PaymentSettings, build)
