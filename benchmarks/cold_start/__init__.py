"""What `make bench-cold` starts in fresh processes, and what answers them."""
