"""The tooling around the service: the stack, the deployer, the local run and the command line."""
