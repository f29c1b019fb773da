"""Where models run: devices and runtimes as data."""

from lilliput.targets.catalogue import get_target, target_names

__all__ = ["get_target", "target_names"]
