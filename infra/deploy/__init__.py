"""What is deployed and how: resources, the zip, the deployer."""
