"""Local metrics for `evaluate`: load one by its path, or import its class."""
