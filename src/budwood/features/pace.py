"""How many photos go through the network at once: found out on this machine, while it works.

Small batches keep a layer's values in the cache, large ones read its weights less often; which
counts more depends on the network and the processor. So the first photos go through in batches of
several sizes, and the fastest is kept. Nothing is computed for the sake of the trial.
"""

from statistics import median

ROUNDS = 3
"""How often each size has its turn; the median of its turns counts."""
PHOTOS_A_TURN = 16
"""A turn is as many batches as make this many photos."""


class Pace:
    """The size of the next batch.

    Example:
        >>> pace = Pace(usual=4, largest=4, photos=10_000)
        >>> now, seconds = 0.0, {1: 3.0, 2: 1.0, 4: 2.0}  # a photo takes so long in such a batch
        >>> for _ in range(400):
        ...     size = pace.size
        ...     now += size * seconds[size]
        ...     pace.took(size, now)
        >>> pace.size
        2
    """

    def __init__(self, usual: int, largest: int, photos: int) -> None:
        """Begin a pass.

        Args:
            usual: Photos in a batch where there are too few for a trial.
            largest: The most photos in a batch.
            photos: How many there are.
        """
        sizes = [size for size in (1, 2, 4, 8, 16) if size < largest] + [largest]
        is_worth_it = photos >= 8 * ROUNDS * PHOTOS_A_TURN * len(sizes)
        self._turns = [size for _ in range(ROUNDS) for size in sizes] if is_worth_it else []
        self._times: dict[int, list[float]] = {size: [] for size in sizes}
        self._best = min(usual, largest)
        self._left = 0
        self._seen = 0
        self._since: float | None = None
        self._begin()

    @property
    def size(self) -> int:
        """Photos in the next batch."""
        return self._turns[0] if self._turns else self._best

    def took(self, photos: int, now: float) -> None:
        """Take note that the results of a batch have arrived.

        Args:
            photos: In that batch.
            now: Seconds on any clock.
        """
        if not self._turns:
            return
        size = self._turns[0]
        if photos != size:  # sent before this turn began, or the last of all
            return
        if self._since is None:  # the first of a turn only starts the clock
            self._since = now
            return
        self._seen += photos
        if self._seen >= self._left:
            self._times[size].append((now - self._since) / self._seen)
            self._turns.pop(0)
            if not self._turns:
                self._best = min(self._times, key=lambda size: median(self._times[size]))
            self._begin()

    def _begin(self) -> None:
        self._since, self._seen, self._left = None, 0, PHOTOS_A_TURN
