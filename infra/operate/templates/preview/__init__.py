"""Previews for designers: reads a folder whatever is wrong with it, draws and serves it, makes a PNG."""
