"""Rows in which everything is below what feeds it."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from budwood.drawing.grid import layers_of


@st.composite
def connected_graphs(draw):
    links = []
    for number in range(1, draw(st.integers(1, 12))):
        sources = draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=3))
        links += [(source, number) for source in sorted(sources)]
    return links


@given(connected_graphs())
def test_rows_and_ways_are_sound(links):
    nodes = sorted({0, *(n for link in links for n in link)})
    layers = layers_of(nodes, links)
    row = {node: i for i, nodes_there in enumerate(layers.rows) for node in nodes_there}
    assert set(nodes) <= set(row)
    assert set(layers.ways) == set(links)
    for (source, target), way in layers.ways.items():
        assert (way[0], way[-1]) == (source, target)
        assert all(row[b] == row[a] + 1 for a, b in pairwise(way))
    for nodes_there in layers.rows:
        assert all(layers.x[b] - layers.x[a] >= 1 for a, b in pairwise(nodes_there))


def test_branches_stand_in_the_order_of_the_code():
    links = [(0, 1), (0, 2), (0, 3), (2, 4), (1, 5), (4, 5), (3, 5)]
    layers = layers_of(range(6), links)
    assert layers.rows[1] == (1, 2, 3)


def test_a_branching_is_symmetrical():
    layers = layers_of(range(6), [(0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (2, 5), (3, 5), (4, 5)])
    middle = (layers.x[1] + layers.x[4]) / 2
    assert layers.x[0] == layers.x[5] == middle


def test_the_same_graph_is_placed_the_same_way():
    links = [(0, 1), (0, 2), (1, 3), (2, 3), (0, 3)]
    assert layers_of(range(4), links) == layers_of(range(4), links)


def test_one_part_alone_is_one_row():
    assert layers_of([7], []).rows == ((7,),)
