"""Why weights cannot be made."""

from __future__ import annotations


class WeightsError(Exception):
    """The source cannot be converted, or the target cannot be written. The message names the file and the mend."""
