"""The programs that `make bench-cold` starts in new processes, and the recording of AWS that answers them."""
