"""What `scripts/bench families` is made of: its rows, one run of a row, profiles and the table."""
