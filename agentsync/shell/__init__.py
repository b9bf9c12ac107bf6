"""What a shell command will write, read from its text.

`read.writes` is the question; `harmless.is_harmless` answers the frequent "certainly nothing" without a parser, and
`patch.paths` reads the patches of Codex. Nothing here runs a program, writes a file or knows of locks.
"""
