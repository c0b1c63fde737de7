"""Does a full store answer as fast as a nearly empty one? `python -m bench.grow`, docs/performance.md."""
