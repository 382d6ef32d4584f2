"""What tests leave out because it takes most of their time and is not what they ask for; tests of it put it back."""

from langcell.loading import precision
from langcell.training.pretraining import loop

THIS_MACHINES = precision._multiplies_bfloat16


def leave_out_what_takes_time() -> None:
    """Call it in a process that runs tests, or is run by them."""
    compute_in_float32()
    train_without_pictures()


def compute_in_float32() -> None:
    """Have `auto` mean float32, whatever the machine is fast at.

    In bfloat16 each product of a new shape is compiled first, forward and back for more than two milliseconds, and
    batches of the tiny models have new shapes all the time: training one of them took ten times as long.
    """
    precision._multiplies_bfloat16 = lambda device: False


def train_without_pictures() -> None:
    """Leave out the picture of the losses and take the machine's speed for known: three quarters of a short run."""
    loop.draw_losses = lambda metrics, to: None
    loop.peak_flops = lambda device, *, precision: 1e12
