"""Records and outcomes to text, for people, models and scripts. Pure; shared by all edges."""
