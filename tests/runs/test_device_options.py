"""The options of device and precision."""

import argparse

from paravox.runs import device_options
from paravox.trainers import devices


def test_every_precision_can_be_chosen():
    parser = argparse.ArgumentParser()
    device_options.add_device_options(parser)
    assert set(device_options.DTYPES) == set(devices.DTYPES)
    for name, dtype in devices.DTYPES.items():
        chosen = parser.parse_args(["--device", "cpu", "--dtype", name])
        assert device_options.chosen_device(chosen.device, chosen.dtype)[1] == dtype
