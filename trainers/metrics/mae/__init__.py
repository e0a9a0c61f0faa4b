"""The metric mae."""
