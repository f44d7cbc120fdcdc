"""What a team does with passes by hand: single ones, many of them from and to files, one followed through the logs."""
