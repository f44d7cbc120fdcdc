"""Programs that make passes for `make bench-pass`, each with one library in its fastest form.

Each gets the path of a job (`PassJob`), makes passes of one template for as long as it says, each pass with a serial
number and a gate of its own, writes the last one down, and prints `{"count": ..., "seconds": ...}`. What a library can
keep from one pass to the next (parsed keys, read files) is kept.
"""
