"""The metric uar."""
