"""Says what is installed, which device is used, what is missing, and how to get it.

    paravox doctor

It looks at Python, the packages that paravox needs, its extras, the device, the formats of recordings that can be read,
and the folders for downloads with the space that is left there. It uses no network. What is missing of optional things
comes with the command that installs it; where something that is needed is missing, the exit code is 1. Send what it
prints with a report of a bug.
"""

import argparse

from paravox.modeling.errors import ConfigError
from paravox.runs.installation import Finding, look_at_installation
from paravox.runs.program import run


def main(argv: list[str] | None = None) -> dict[str, list[Finding]]:
    """Prints the findings as they come, and returns them by heading.

    Raises:
        ConfigError: at the end, if something that is needed is missing.
    """
    parser = argparse.ArgumentParser(
        prog="paravox doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.parse_args(argv)
    found = {}
    for title, findings in look_at_installation():
        found[title] = findings
        print(title)
        for finding in findings:
            print(f"  {finding.state:8} {finding.what}", flush=True)
            if finding.advice:
                print(f"  {'':8}   {finding.advice}", flush=True)
    wrong = [finding.what for findings in found.values() for finding in findings if finding.state == "wrong"]
    if wrong:
        raise ConfigError(f"paravox cannot work here as it should ({'; '.join(wrong)}): follow the advice above")
    return found


if __name__ == "__main__":
    run(main)
