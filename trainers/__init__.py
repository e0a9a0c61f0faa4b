"""How models learn. Knows no corpus and no path."""
