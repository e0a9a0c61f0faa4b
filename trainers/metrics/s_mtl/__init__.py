"""The metric s_mtl."""
