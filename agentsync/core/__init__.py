"""Pure values and decisions: no os, no io, no time, no randomness. What comes in decides what comes out."""
