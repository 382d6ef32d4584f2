"""Text of the page stands out from what is behind it, by the rule of WCAG 2: a contrast of 4.5 or more."""

import pytest

from langcell.hub_cards.space.app import THEME

PAIRS = [
    ("block_label_text_color", "block_label_background_fill"),
    ("block_title_text_color", "block_title_background_fill"),
    ("button_primary_text_color", "button_primary_background_fill"),
    ("button_primary_text_color", "button_primary_background_fill_hover"),
    ("checkbox_label_text_color_selected", "checkbox_label_background_fill_selected"),
    ("body_text_color_subdued", "block_background_fill"),
    ("block_info_text_color", "block_background_fill"),
    ("input_placeholder_color", "input_background_fill"),
    ("link_text_color", "block_background_fill"),
]


def shade(name: str, *, dark: bool) -> str:
    """What a variable of the theme comes to, "#rrggbb"; variables without a dark value have the light one."""
    value = (getattr(THEME, f"{name}_dark", None) if dark else None) or getattr(THEME, name)
    if value.startswith("*"):
        return shade(value[1:], dark=dark)
    return "#ffffff" if value == "white" else value


def luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
def test_text_can_be_read(pair: tuple[str, str], dark: bool) -> None:
    text, behind = (luminance(shade(name, dark=dark)) for name in pair)
    assert (max(text, behind) + 0.05) / (min(text, behind) + 0.05) >= 4.5
