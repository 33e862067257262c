"""How much the store keeps, in memory and on disk. Every queue and file of the store has its bound here."""

from msgspec import Struct

from storage.errors import StoreRefused

DAY_S = 86_400.0
MIB = 1024 * 1024
PAGE_BYTES = 4096
CHECKPOINT_PAGES = 256  # the write-ahead log goes back into the database at 1 MiB
WAL_KEPT_BYTES = 3 * MIB // 2  # blocks the log keeps: with them, deleting works even on a full disk
WAL_ALLOWANCE_BYTES = 2 * MIB  # part of keep_mib that is left to the write-ahead log
MIN_KEEP_MIB = 4.0
MAX_TEXT = 128  # characters of a data point's name or unit
MAX_RANGE = 10_000  # measurements of one answer


class Limits(Struct, frozen=True):
    """Bounds of one store. `keep_*` can change while it is open; the others are read when it opens.

    Raises StoreRefused for a bound that can't be kept.
    """

    keep_days: float = 30.0  # by the measurements' time stamps
    keep_mib: float = 64.0  # database and write-ahead log together
    flush_s: float = 300.0  # real time that an event may wait in memory
    max_data_points: int = 1000
    queue_rows: int = 4000  # rows that wait for the writer; about 0.2 KiB each
    event_rows: int = 2000  # events that wait in memory
    reads: int = 256  # reads that wait

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not self.keep_days > 0:
            raise StoreRefused(f"keep_days must be above 0, got {self.keep_days}")
        if not self.keep_mib >= MIN_KEEP_MIB:
            raise StoreRefused(f"keep_mib must be at least {MIN_KEEP_MIB}, got {self.keep_mib}")
        if not self.flush_s > 0:
            raise StoreRefused(f"flush_s must be above 0, got {self.flush_s}")
        for name in ("max_data_points", "queue_rows", "event_rows", "reads"):
            if getattr(self, name) < 1:
                raise StoreRefused(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def database_pages(self) -> int:
        """Pages the database may use, so that it and its log stay within `keep_mib`."""
        return int((self.keep_mib * MIB - WAL_ALLOWANCE_BYTES) // PAGE_BYTES)
