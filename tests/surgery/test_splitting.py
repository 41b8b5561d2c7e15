"""What crosses the frontier is one row a photo; all else is made anew in the graft."""

import pytest
import torch
from torch import nn

from budwood.errors import CutError
from budwood.surgery.cutting import cut
from budwood.surgery.freezing import freeze, unfreeze

X = torch.randn(4, 3, 8, 8)


def frozen_but(network, *trains):
    return unfreeze(freeze(network, "*"), *trains).train()


class Code(nn.Module):
    """A frozen convolution, code of one's own, and a layer that trains."""

    def __init__(self, code, width=4, **options):
        super().__init__()
        self.conv, self.head, self.code = nn.Conv2d(3, 4, 3, **options), nn.Linear(width, 2), code

    def forward(self, x):
        return self.code(self, x, self.conv(x))


def sizes_behind_the_head(self, x, y):
    n, c, h, w = y.shape
    tokens = y.flatten(2).transpose(1, 2)  # n c h w -> n hw c
    return self.head(tokens).reshape(n, h, w, 2) / (n * c / n)


def sizes_of_the_image(self, x, y):
    rows = self.head(y.permute(0, 2, 3, 1).flatten(0, 2))
    return rows.view(x.shape[0], x.size(2) - 2, -1) + x.shape[0] * 0


@pytest.mark.parametrize("code", [sizes_behind_the_head, sizes_of_the_image])
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_sizes_are_those_of_the_batch_at_hand(law, code, batch):
    network = frozen_but(Code(code), "head")
    law(network, X)
    split = cut(network, X[:1])
    x = torch.randn(batch, 3, 8, 8)
    assert torch.equal(split.graft(split.trunk(x)), network(x))


def test_none_and_other_constants_cross_the_frontier(law):
    def code(self, x, y, scale=None):
        settings = {"scale": scale, "axis": (2, 3)}
        pooled = y.mean(settings["axis"])
        return self.head(pooled if settings["scale"] is None else pooled * settings["scale"])

    assert law(frozen_but(Code(code), "head"), X).frontier[0].shape == (4,)


def test_a_number_that_is_no_multiple_of_the_batch_is_refused():
    def code(self, x, y):
        return self.head(y.mean((2, 3))) * (x.shape[0] + 1)

    with pytest.raises(CutError, match="Freeze less of the network"):
        cut(frozen_but(Code(code), "head"), X[:1])


def test_half_of_the_batch_is_refused():
    def code(self, x, y):
        return self.head(y.mean((2, 3))) * (x.shape[0] / 2)

    with pytest.raises(CutError, match="Freeze less of the network"):
        cut(frozen_but(Code(code), "head"), X[:1])


def test_a_number_read_from_the_photo_is_never_written_down():
    def code(self, x, y):
        return self.head(y.mean((2, 3)) * x.amax().item())

    network = frozen_but(Code(code), "head")
    split = cut(network, X[:1])
    for x in (X, 3 * X):
        assert torch.equal(split.graft(split.trunk(x)), network(x))


def windows(self, x, y):
    n, c, h, w = y.shape
    parts = y.view(n, c, 2, h // 2, 2, w // 2).permute(0, 2, 4, 3, 5, 1)
    parts = parts.reshape(n * 4, -1, c)  # windows first, as in Swin
    return self.head(parts.mean(1)).view(n, 4, 2).mean(1)


def sequence_first(self, x, y):
    tokens = y.flatten(2).permute(2, 0, 1)  # n c hw -> hw n c
    return self.head(tokens).mean(0)


@pytest.mark.parametrize(("code", "row"), [(windows, (2, 2, 3, 3, 4)), (sequence_first, (4, 36))])
def test_a_value_whose_first_axis_is_not_the_photo_is_not_stored(law, code, row):
    assert [t.shape for t in law(frozen_but(Code(code), "head"), X).frontier] == [row]


def test_where_rows_cannot_be_stored_the_trunk_still_does_all_that_costs():
    class SequenceFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Conv2d(3, 64, 7, padding=3), nn.Linear(64, 2)

        def forward(self, x):
            return self.head(self.body(x).flatten(2).permute(2, 0, 1)).mean(0)

    split = cut(frozen_but(SequenceFirst(), "head"), torch.zeros(1, 3, 32, 32))
    assert [t.shape for t in split.frontier] == [(64, 1024)]


@pytest.mark.parametrize("side", [2, 3, 11, 13])
@pytest.mark.parametrize("looks", [False, True])
def test_a_sequence_as_long_as_a_batch_is_not_taken_for_one(law, looks, side):
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.look = Looking() if looks else nn.Identity()
            self.embed, self.head = nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.embed(self.look(x)).transpose(0, 1)).mean(0)

    split = law(frozen_but(Sequence(), "head"), torch.randn(5, side, 3))
    assert split.frontier[0].shape == (side, 4)


class Looking(nn.Module):
    """Looks at values, so that the network must really be run to find shapes."""

    def forward(self, x):
        return x if x.abs().sum() > 0 else -x


class Two(nn.Module):
    """A module that cannot be traced and gives several tensors."""

    def __init__(self, container):
        super().__init__()
        self.a, self.b, self.container = nn.Linear(4, 4), nn.Linear(4, 4), container

    def forward(self, x):
        if x.sum() > 1e9:
            raise ValueError
        return self.container(self.a(x), self.b(x))


class Sum(nn.Module):
    """Takes such several tensors as a whole, and trains."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(4))

    def forward(self, several):
        parts = several.values() if isinstance(several, dict) else several
        return sum(part * self.gain if part.sum() < 1e9 else part for part in parts)


CONTAINERS = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "dict": lambda a, b: {"a": a, "b": b},
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_several_tensors_handed_over_as_one_are_made_again_in_the_graft(law, kind):
    network = nn.Sequential(nn.Linear(4, 4), Two(CONTAINERS[kind]), Sum())
    split = law(frozen_but(network, "2"), torch.randn(3, 4))
    assert [t.name for t in split.frontier] == ["0"]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_one_of_several_tensors_is_a_row(law, kind):
    class Picking(nn.Module):
        def __init__(self):
            super().__init__()
            self.two, self.head = Two(CONTAINERS[kind]), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.two(x)["a" if kind == "dict" else 0])

    split = law(frozen_but(Picking(), "head"), torch.randn(3, 4))
    assert [t.shape for t in split.frontier] == [(4,)]


def test_a_network_with_several_outputs_gives_them_all(law):
    def code(self, x, y):
        y = y.mean((2, 3))
        return self.head(y), y

    assert [t.shape for t in law(frozen_but(Code(code), "head"), X).frontier] == [(4,)]


def test_further_inputs_keep_their_default_values(law):
    class Defaults(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x, scale=2.0, settings=None, names={"a": 1}):  # noqa: B006
            return self.head(self.first(x) * scale)

    assert law(frozen_but(Defaults(), "head"), torch.randn(3, 4)).frontier[0].name == "mul"


def test_a_photo_with_a_default_is_still_the_input(law):
    class Default(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x=None):
            return self.head(self.first(x))

    assert law(frozen_but(Default(), "head"), torch.randn(3, 4)).frontier[0].name == "first"


def test_a_second_input_without_default_is_refused():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 2)

        def forward(self, x, y):
            return self.head(x + y)

    with pytest.raises(CutError, match="pass an example of the right shape"):
        cut(Pair(), torch.randn(1, 4))
