import pytest

from langcell.app.options import AppOptions


def test_the_defaults_are_for_this_machine_alone():
    assert AppOptions().host == "127.0.0.1"
    assert AppOptions.from_environment({}) == AppOptions()


def test_a_space_sets_variables():
    variables = {"LANGCELL_MODEL": "org/cells", "LANGCELL_TIME_LIMIT": "60", "LANGCELL_DEVICE": ""}
    assert AppOptions.from_environment(variables) == AppOptions(model="org/cells", time_limit=60)


@pytest.mark.parametrize(("value", "tools"), [("1", True), ("0", False)])
def test_a_variable_turns_the_tools_on_or_off(value, tools):
    assert AppOptions.from_environment({"LANGCELL_TOOLS": value}).tools is tools


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        pytest.param({"GRADIO_SERVER_NAME": "0.0.0.0"}, "0.0.0.0", id="container"),
        pytest.param({"GRADIO_SERVER_NAME": "0.0.0.0", "LANGCELL_HOST": "::1"}, "::1", id="both"),
    ],
)
def test_where_it_listens(variables, host):
    assert AppOptions.from_environment(variables).host == host


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        pytest.param({"LANGCELL_TIME_LIMIT": "soon"}, "LANGCELL_TIME_LIMIT is 'soon'; give a whole number", id="word"),
        pytest.param(
            {"LANGCELL_TOOLS": "yes"}, r"LANGCELL_TOOLS is 'yes'; give a whole number \(0 or 1\)", id="switch"
        ),
        pytest.param({"LANGCELL_QUEUE_SIZE": "0"}, "queue_size is 0; give 1 or more", id="zero"),
        pytest.param({"LANGCELL_PORT": "70000"}, "port is 70000; give 1 to 65535", id="port"),
    ],
)
def test_errors(variables, message):
    with pytest.raises(ValueError, match=message):
        AppOptions.from_environment(variables)
