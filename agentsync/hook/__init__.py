"""The hook entry: what the gate starts when it cannot answer by itself."""

import gc

gc.disable()  # a hook lives for 40 ms and its memory goes with it; collecting while modules load costs 2 of them
