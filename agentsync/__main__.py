"""The commands `agent-sync` and `agentsync`."""

from __future__ import annotations

import sys


def main() -> int:
    """Run one command; the exit code is the caller's to use."""
    if sys.argv[1:2] == ["hook"]:  # not through argparse: it exits 2 on a typing error, and 2 blocks an agent
        from agentsync.hook.entry import main as hook

        return hook(sys.argv[2:])
    from agentsync.cli.main import main as command

    return command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
