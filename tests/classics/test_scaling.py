"""The arithmetic of compound scaling."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from budwood.classics.scaling import (
    PUBLISHED,
    count_parameters,
    phi_of,
    phis,
    round_depth,
    round_width,
    scale_by,
    stages,
)
from budwood.errors import UnknownName
from budwood.models.building import build, rebuild, structure
from budwood.models.catalog import find, list_models
from budwood.models.info import info


def test_phi_0_is_b0():
    assert scale_by(0) == PUBLISHED["b0"]


def test_one_step_about_doubles_the_cost():
    scale = scale_by(1)
    assert scale.depth * scale.width**2 * (1.15) ** 2 == pytest.approx(2, rel=0.05)


@given(st.floats(0, 20))
def test_the_resolution_is_the_nearest_multiple_of_8(phi):
    resolution = scale_by(phi).resolution
    assert resolution % 8 == 0
    assert abs(resolution - 224 * 1.15**phi) <= 4


@given(st.floats(0, 20))
def test_the_three_agree_on_a_network_of_the_rule(phi):
    width, depth, resolution = phis(scale_by(phi))
    assert (width, depth) == pytest.approx((phi, phi), abs=1e-6)
    assert resolution == pytest.approx(phi, abs=0.15)


def test_no_phi_gives_the_published_b4():
    width, depth, resolution = phis(PUBLISHED["b4"])
    assert [round(each, 1) for each in (width, depth, resolution)] == [3.5, 3.2, 3.8]


@given(st.integers(8, 2000), st.floats(1, 6))
def test_widths_are_multiples_of_8_and_lose_less_than_a_tenth(channels, width):
    rounded = round_width(channels, width)
    assert rounded % 8 == 0
    assert channels * width * 0.9 <= rounded <= channels * width + 8


@pytest.mark.parametrize(("blocks", "depth", "expected"), [(1, 1.0, 1), (2, 1.1, 3), (4, 3.1, 13)])
def test_depths_are_rounded_up(blocks, depth, expected):
    assert round_depth(blocks, depth) == expected


def test_one_block_a_stage_halves_the_size():
    strides = [[block.stride for block in stage] for stage in stages(PUBLISHED["b4"])]
    assert [stage[0] for stage in strides] == [1, 2, 2, 2, 1, 2, 1]
    assert all(set(stage[1:]) <= {1} for stage in strides)


class TestNames:
    @pytest.mark.parametrize("phi", ["0", "0.5", "1.50", "3.7"])
    def test_parameters_are_those_of_the_built_network(self, phi):
        architecture = find(f"efficientnet_phi({phi})")
        network = structure(architecture, device="meta")
        assert sum(each.numel() for each in network.parameters()) == architecture.parameters
        assert architecture.parameters == count_parameters(scale_by(float(phi)))

    def test_the_network_is_built_and_rebuilt_by_name(self):
        network = build("efficientnet_phi(1)", weights="none", classes=3, device="meta")
        assert info(network).origin.architecture == "budwood/efficientnet_phi(1)"
        assert info(network).preprocessing.size == (256, 256)
        assert rebuild(info(network).origin).classifier.out_features == 3

    @pytest.mark.parametrize("name", ["efficientnet_phi(2)", "budwood/efficientnet_phi(2)"])
    def test_it_is_listed_when_asked_for(self, name):
        (architecture,) = list_models(name)
        assert architecture == find(name)
        assert architecture.input == (3, 296, 296)

    @pytest.mark.parametrize(
        "name",
        [
            "efficientnet_phi",
            "efficientnet_phi()",
            "efficientnet_phi(-1)",
            "efficientnet_phi(20.1)",
            "efficientnet_phi(1e3)",
            "efficientnet_phi(nan)",
            "budwood/efficientnet_phi(x)",
        ],
    )
    def test_what_is_no_number_within_bounds_is_refused(self, name):
        assert phi_of(name.removeprefix("budwood/")) is None
        with pytest.raises(UnknownName, match=r"must be efficientnet_phi\(N\) .* from 0 to 20"):
            find(name)

    def test_it_is_found_without_torch(self):
        code = (
            "import sys; from budwood.models.catalog import find; find('efficientnet_phi(1)');"
            "sys.exit('torch' in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
