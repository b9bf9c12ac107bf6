"""`python -m agentsync.hook EVENT`."""

import sys

from agentsync.hook.entry import main

sys.exit(main(sys.argv[1:]))
