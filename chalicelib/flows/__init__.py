"""One file for each arrow of the README's picture: what a device or a pipeline sets in motion, from start to end."""
