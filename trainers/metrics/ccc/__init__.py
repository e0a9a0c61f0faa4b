"""The metric ccc."""
