"""The IAM permissions of the credentials that run `diff`, `deploy` and `doctor`."""
