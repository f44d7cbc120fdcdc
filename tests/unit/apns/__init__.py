"""The push client against the simulator, and the simulator against other people's clients."""
