"""Deploys a stage with `chalice deploy`: the steps before it (`prepare`) and after it (`finish`)."""
