"""Checks an SDK's driver against the cases. `README.md` beside this package says what a driver is."""
