"""Programs for those who develop Setpoint: checks, locks, the generated reference; `make` runs them."""
