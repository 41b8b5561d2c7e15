"""Nothing overlaps, lines go around boxes and letters stay inside, whatever the network."""

from itertools import combinations, pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budwood.drawing.blocks import ENTRY, EXIT, BlockFrame, folded
from budwood.drawing.boxes import Box
from budwood.drawing.layout import laid_out
from budwood.drawing.pieces import BoxAt, FrameAt, LineAt

ROUNDING = 0.01
"""Of a pixel."""
ARCHITECTURES = [
    "alexnet",
    "vgg16",
    "googlenet",
    "resnet18",
    "resnet152",
    "efficientnet_b0",
    "densenet",
    "shufflenet_v2_x0_5",
    "vit_b_16",
    "timm:hrnet_w18_small",
]


def of_type(piece, kind):
    return [item for item in piece.items if isinstance(item, kind)]


def overlap(a, b):
    """How far two rectangles reach into each other, in the direction where it is less."""
    across = min(a.x + a.width, b.x + b.width) - max(a.x, b.x)
    down = min(a.y + a.height, b.y + b.height) - max(a.y, b.y)
    return min(across, down)


def is_inside(inner, outer):
    return (
        outer.x <= inner.x + ROUNDING
        and outer.y <= inner.y + ROUNDING
        and inner.x + inner.width <= outer.x + outer.width + ROUNDING
        and inner.y + inner.height <= outer.y + outer.height + ROUNDING
    )


def crossed(line, boxes):
    """The boxes that a line runs through, not only up to."""
    found = []
    for (x, y), (end_x, end_y) in [] if line.is_curved else pairwise(line.points):
        left, right, top, bottom = *sorted((x, end_x)), *sorted((y, end_y))
        found += [
            at.box
            for at in boxes
            if left < at.x + at.width - 1 and right > at.x + 1
            if top < at.y + at.height - 1 and bottom > at.y + 1
        ]
    return found


def ends_of(text):
    shift = {"start": 0, "middle": text.width / 2, "end": text.width}[text.anchor]
    return text.x - shift, text.x - shift + text.width


def assert_sound(piece):
    boxes, frames, lines = (of_type(piece, kind) for kind in (BoxAt, FrameAt, LineAt))
    for a, b in combinations(boxes, 2):
        assert overlap(a, b) < ROUNDING, (a.box, b.box)
    for frame in frames:
        for at in boxes:
            assert is_inside(at, frame) or overlap(at, frame) < ROUNDING, (frame.block.name, at.box)
    for a, b in combinations(frames, 2):
        assert is_inside(b, a) or is_inside(a, b) or overlap(a, b) < ROUNDING
    for line in lines:
        assert not crossed(line, boxes), line
    page = SimpleNamespace(x=-piece.left, y=0, width=piece.left + piece.right, height=piece.height)
    assert all(is_inside(item, page) for item in (*boxes, *frames))
    for x, y in (point for line in lines for point in line.points):
        assert is_inside(SimpleNamespace(x=x, y=y, width=0, height=0), page)


def assert_letters_fit(piece):
    for at in (*of_type(piece, BoxAt), *of_type(piece, FrameAt)):
        for text in at.texts:
            start, end = ends_of(text)
            assert at.x < start < end < at.x + at.width, text
            assert at.y + 8 < text.y < at.y + at.height - 3, text
        for a, b in combinations(at.texts, 2):
            if abs(a.y - b.y) < 11:
                (_, end), (start, _) = sorted((ends_of(a), ends_of(b)))
                assert end < start, (a, b)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_overlaps_and_letters_fit(blocks, name):
    piece = laid_out(folded(blocks(name)))
    assert_sound(piece)
    assert_letters_fit(piece)


def test_frames_names_do_not_touch_the_line_that_enters(blocks):
    piece = laid_out(folded(blocks("resnet152")))
    for frame in of_type(piece, FrameAt):
        for text in frame.texts:
            start, end = ends_of(text)
            assert end < 0 or start > 0, text  # everything in a ResNet is entered at x = 0


def test_googlenet_is_no_wider_than_a_screen(blocks):
    piece = laid_out(blocks("googlenet"))
    assert piece.left + piece.right < 1100


def test_a_plain_network_is_one_column(blocks):
    piece = laid_out(blocks("vgg16"))
    assert {at.x + at.width / 2 for at in of_type(piece, BoxAt)} == {0}
    assert len({at.width for at in of_type(piece, BoxAt)}) == 1


def test_parts_follow_each_other_downwards(blocks):
    boxes = of_type(laid_out(blocks("vgg16")), BoxAt)
    tops = {at.box.name or at.box.kind: at.y for at in boxes}
    order = ["input", "features.0", "features.2", "avgpool", "classifier.6", "output"]
    assert sorted(order, key=tops.__getitem__) == order


def test_a_name_without_room_is_given_from_a_frame_around_on(blocks):
    frames = of_type(laid_out(blocks("densenet")), FrameAt)
    names = {frame.block.name: frame.texts[0].text for frame in frames}
    assert names["features.denseblock1.denselayer1"] == "denselayer1"
    assert names["features"] == "features"


def test_very_long_names_are_cut_short():
    image = Box("input", "input", shape="3 x 9 x 9")
    long = Box("layer", "a title " * 9, name="n" * 90, notes=("a note " * 9,), shape="1 x " * 30)
    block = BlockFrame("m" * 90, "T" * 90, False, (long,), ((ENTRY, 0), (0, EXIT)))
    answer = Box("output", "o" * 90)
    whole = BlockFrame("", "N", False, (image, block, answer), ((0, 1), (1, 2)))
    piece = laid_out(whole)
    assert_letters_fit(piece)
    texts = [text.text for at in of_type(piece, BoxAt) for text in at.texts]
    assert [text[-1] for text in texts] == ["9", "…", "…", "…", "…", "…"]


@st.composite
def graphs(draw, depth=1):
    """Parts, of which each is fed by some before it; the first is fed from outside."""
    parts, links = [], []
    for number in range(draw(st.integers(1, 7))):
        before = st.integers(0, number - 1) if number else st.just(ENTRY)
        sources = sorted(draw(st.sets(before, min_size=1, max_size=3)))
        links += [(source, number) for source in sources]
        if len(sources) > 1:
            title = draw(st.sampled_from(["+", "concat"]))
            parts.append(Box("join", title, shape="64 x 56 x 56"))
        elif depth and draw(st.booleans()):
            inner, inside = draw(graphs(depth - 1))
            inside = (*inside, (len(inner) - 1, EXIT))
            times = draw(st.integers(1, 2))
            parts.append(BlockFrame(f"block{number}", "Any", False, inner, inside, times))
        else:
            state, is_pointwise = draw(st.sampled_from(["-", "frozen"])), draw(st.booleans())
            parts.append(
                Box("layer", "conv", f"layer{number}", state=state, is_pointwise=is_pointwise)
            )
    return tuple(parts), tuple(links)


def count_boxes(parts):
    return sum(1 if isinstance(part, Box) else count_boxes(part.parts) for part in parts)


@settings(max_examples=100)
@given(graphs())
def test_nothing_overlaps_in_any_graph(graph):
    parts, links = graph
    piece = laid_out(BlockFrame("", "Any", False, parts, links))
    assert len(of_type(piece, BoxAt)) == count_boxes(parts)
    assert_sound(piece)
