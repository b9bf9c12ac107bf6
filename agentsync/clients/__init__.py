"""One file per agent client: how its hooks are installed, what they are given, how they answer. Pure."""
