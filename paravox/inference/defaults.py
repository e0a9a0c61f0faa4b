"""What programs use where nothing is named. Nothing is imported here, so that their help is there at once."""

# The model that programs use where none is named: none yet.
DEFAULT_MODEL: str | None = None
# What the task of an adapted model is called.
ADAPTED_TASK = "label"
