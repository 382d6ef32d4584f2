from dataclasses import fields

import pytest

from langcell.processing.simulation.config import SimulationConfig


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"panel_share": 1.5}, "panel_share is 1.5; a share", id="share_above_1"),
        pytest.param({"noise_cv": (1.0, 0.5)}, "noise_cv", id="pair_reversed"),
        pytest.param({"depth_median": 0.0}, "depth_median is 0.0; it must be above 0", id="no_depth"),
        pytest.param({"ambient": (-0.1, 0.1)}, "ambient", id="negative"),
        pytest.param({"depth_median": float("nan")}, "depth_median", id="nan"),
    ],
)
def test_config_refuses(changes, message):
    with pytest.raises(ValueError, match=message):
        SimulationConfig(**changes)


def test_plain_switches_every_share_off_and_keeps_what_is_asked_for():
    plain = SimulationConfig.plain(panel_share=0.5)
    assert plain.panel_share == 0.5
    shares = [field.name for field in fields(SimulationConfig) if field.name.endswith("_share")]
    assert all(getattr(plain, name) == 0 for name in shares if name != "panel_share")


def test_every_parameter_is_described():
    assert all(f"        {field.name}: " in str(SimulationConfig.__doc__) for field in fields(SimulationConfig))
