"""The service: what runs in AWS Lambda. Each package may import those below it (`pyproject.toml`, import contracts)."""
