"""What paravox raises on bad input: each error is one sentence that says what was found, where, what was expected and what to do."""


class AudioError(ValueError):
    """A recording that cannot be used: missing, empty, truncated, not audio, silent by length, or not finite."""


class CorpusError(ValueError):
    """A corpus whose files, labels or splits do not fit: the message lists every sort of fault with its first offenders."""


class ConfigError(ValueError):
    """A setting that is unknown, of the wrong type, or that contradicts another."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be opened as asked: another class, a newer version, missing weights."""
