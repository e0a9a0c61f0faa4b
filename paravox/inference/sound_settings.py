"""What counts as a sound of a recording. This needs no library, so that help can show it at once."""

from typing import NamedTuple

from paravox.modeling.errors import ConfigError


class SoundSettings(NamedTuple):
    """What counts as a sound.

    Args:
        threshold_db (`float`, *optional*, defaults to 10): how far the loudest part of a sound is above the background,
            in decibels.
        min_seconds (`float`, *optional*, defaults to 0.15): a shorter sound is left out.
        max_gap (`float`, *optional*, defaults to 0.3): sounds with a pause of at most this many seconds between them
            are one sound, such as the syllables of a laugh.
        longest_seconds (`float`, *optional*, defaults to 5): a longer sound is cut where it is quietest.
    """

    threshold_db: float = 10.0
    min_seconds: float = 0.15
    max_gap: float = 0.3
    longest_seconds: float = 5.0

    def check(self) -> None:
        """Raises [`ConfigError`] if a setting is out of its range."""
        for name, least in (("threshold_db", 1.0), ("min_seconds", 0.0), ("max_gap", 0.0), ("longest_seconds", 0.5)):
            value = getattr(self, name)
            if not least <= value < float("inf"):
                raise ConfigError(f"{name} is {value}: give a number of at least {least:g}")
        if self.longest_seconds < 2 * self.min_seconds:
            raise ConfigError(
                f"longest_seconds is {self.longest_seconds:g} and min_seconds {self.min_seconds:g}: give at least "
                "twice as much"
            )
