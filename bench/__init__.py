"""Benchmarks: real processes, real broker, durable stores. Figures are ratios of one run; machines are noisy."""
