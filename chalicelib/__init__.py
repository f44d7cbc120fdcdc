"""The service: what runs inside the Lambdas. Imports point one way: flows -> borders -> domain."""
