"""How many photos go through the network at once: found out on this machine, while it works.

Small batches keep a layer's values in the cache, large ones read its weights less often; which
counts more depends on the network and the processor. So the first photos go through in batches of
several sizes, and the fastest is kept. Nothing is computed for the sake of the trial.
"""

from statistics import median

ROUNDS = 3
"""How often each size has its turn; the median of its turns counts."""
PHOTOS_A_TURN, BATCHES_A_TURN = 16, 6
"""A turn is at least that many photos and that many batches: results come in bursts."""
WORTH_IT = 6
"""A pass has a trial if it has so many times its photos."""
FRUITLESS = 3
"""A size that could not be timed between so many pauses is passed over."""


class Pace:
    """The size of the next batch.

    Example:
        >>> pace = Pace(usual=4, largest=4, photos=10_000)
        >>> now, seconds = 0.0, {1: 3.0, 2: 1.0, 4: 2.0}  # a photo takes so long in such a batch
        >>> for _ in range(400):
        ...     size = pace.size
        ...     pace.sent(size)
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
        is_worth_it = photos >= WORTH_IT * ROUNDS * sum(map(_turn, sizes))
        self._turns = [size for _ in range(ROUNDS) for size in sizes] if is_worth_it else []
        self._times: dict[int, list[float]] = {size: [] for size in sizes}
        self._best = usual
        self._sent = self._arrived = 0
        self._since: float | None = None
        self._begin()

    @property
    def is_trial(self) -> bool:
        """Whether the size is still being found out."""
        return bool(self._turns)

    @property
    def size(self) -> int:
        """Photos in the next batch."""
        return self._turns[0] if self._turns else self._best

    def sent(self, photos: int, *, waited: bool = False) -> None:
        """Take note that a batch is on its way through the network.

        Args:
            photos: In that batch.
            waited: Whether the network had to wait for them; that time does not count.
        """
        if waited and self._turns:
            self._fruitless += self._seen == self._seen_at_pause
            self._pause()
            if self._fruitless > FRUITLESS:
                self._end(float("inf"))
        self._sent += photos

    def took(self, photos: int, now: float) -> None:
        """Take note that the results of a batch have arrived, in the order in which it was sent.

        Args:
            photos: In that batch.
            now: Seconds on any clock.
        """
        self._arrived += photos
        if not self._turns or self._arrived <= self._stale:
            return
        if self._since is not None:  # the first result only starts the clock
            self._seen += photos
            self._seconds += now - self._since
        self._since = now
        if self._seen >= _turn(self._turns[0]):
            self._end(self._seconds / self._seen)

    def _begin(self) -> None:
        self._seen, self._seconds, self._fruitless = 0, 0.0, 0
        self._pause()

    def _pause(self) -> None:
        """The clock goes on with the first result of what is sent from now on."""
        self._stale, self._seen_at_pause = self._sent, self._seen
        self._since = None

    def _end(self, seconds: float) -> None:
        """A turn is over, with that many seconds for a photo."""
        self._times[self._turns.pop(0)].append(seconds)
        if not self._turns:
            self._best = min(self._times, key=lambda size: median(self._times[size]))
        self._begin()


def _turn(size: int) -> int:
    """The photos of a turn of that size of batch."""
    return max(PHOTOS_A_TURN, BATCHES_A_TURN * size)
