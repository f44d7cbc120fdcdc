"""One file for each arrow of the picture in README.md: what a device or a pipeline starts, from beginning to end."""
