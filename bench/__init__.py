"""Benchmarks: one file per question, each run side by side with what Setpoint replaces where that is possible."""
