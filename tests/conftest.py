"""Fixtures every test may ask for; each module of tests/fixtures brings one kind of world."""

from pathlib import Path

_FIXTURES = Path(__file__).parent / "fixtures"

pytest_plugins = [f"tests.fixtures.{module.stem}" for module in sorted(_FIXTURES.glob("*.py"))]
