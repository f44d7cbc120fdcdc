"""The service on one machine: an embedded AWS, certificates of our own, a stand-in for APNs, a simulated phone."""
