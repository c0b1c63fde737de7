"""`python -m payment_svc.providers.simulator`: the payment company on a port of its own, until SIGTERM."""

import sys

import uvicorn
from pydantic import ValidationError

from payment_svc.providers.simulator.app import Simulator
from payment_svc.providers.simulator.settings import FaultSettings, SimulatorSettings


def main() -> None:
    try:
        settings, faults = SimulatorSettings(), FaultSettings()
    except ValidationError as error:
        reasons = "; ".join(f"SIMULATOR_{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
        sys.stderr.write(f"{reasons}\n")
        raise SystemExit(2) from None
    simulator = Simulator(settings, faults)
    uvicorn.run(
        simulator.door,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        log_level="critical",  # broken connections are what it is for
        access_log=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
