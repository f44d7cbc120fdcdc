"""Packages the app and deploys stages with CloudFormation, or with `chalice deploy`; monitoring and cost."""
