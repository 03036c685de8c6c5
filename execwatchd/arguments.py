# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of execwatchd."""

import argparse

from execwatchd import __version__


def parser() -> argparse.ArgumentParser:
    """All options, as execwatchd(8) documents them."""
    p = argparse.ArgumentParser(
        prog="execwatchd",
        description="Record every program execution of this host in the systemd journal,"
        " each with the message set for its user.",
        epilog="As a service: systemctl start execwatchd. At the terminal: execwatchctl.",
    )
    p.add_argument("--version", action="version", version=f"execwatchd {__version__}")
    mode = p.add_mutually_exclusive_group()
    mode.add_argument("--foreground", action="store_true", help="print each exec too, until Ctrl-C")
    mode.add_argument("--check-config", action="store_true", help="check the configuration files and exit")
    mode.add_argument(
        "--print-config", action="store_true", help="print the merged configuration, each value with its file"
    )
    return p
