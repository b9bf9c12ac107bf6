"""The console: a live view of the board for a person, and the means to step in as the agent `operator`.

`views` and `detail` say what is shown and know nothing of screens; `live` brings it up to date; `steering` does what
the person asks for, by the operations that everybody uses. `app` and what it imports show all that with Textual, which
nothing else may load; `plain` does it line by line.
"""
