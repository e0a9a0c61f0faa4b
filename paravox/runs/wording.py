"""Words of messages that depend on numbers."""


def many(count: int, what: str) -> str:
    """A number of things, such as `1 clip` and `2 clips`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
