"""What a team does with passes by hand: issue, hand out, change, look at and delete single ones."""
