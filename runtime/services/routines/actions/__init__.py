"""What the steps of a routine do, one file for each kind."""
