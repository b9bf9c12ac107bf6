"""One function per verb a user can say: load, decide, commit, report. Outcomes are values; nothing here prints."""
