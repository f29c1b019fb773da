"""Updates: what turns a file that is there already into a new one (`docs/format.md`)."""

from lilliput.pack.updates.apply import apply_delta
from lilliput.pack.updates.delta import delta
from lilliput.pack.updates.header import Update, is_update, read_update

__all__ = ["Update", "apply_delta", "delta", "is_update", "read_update"]
