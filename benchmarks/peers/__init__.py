"""One program for each push client, of one shape.

The last argument is a file of JSON: where the simulator is, what to authenticate with, the push tokens, how many
pushes. A program connects, pushes once to every token (so that connection and caches are warm), then takes the time of
`count` pushes over one connection, and prints `{"seconds", "cpu_seconds", "delivered"}`.
"""
