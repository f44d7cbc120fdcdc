"""One program per push client, all with the same interface.

The last argument is a JSON file: the URL of the APNs stand-in, credentials, push tokens, the number of pushes. A
program connects, pushes once to every token (so that connection and caches are warm), then measures the time of `count`
pushes over one connection, and prints `{"seconds", "cpu_seconds", "delivered"}`.
"""
