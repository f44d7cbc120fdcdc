"""The settings that a deployed stage's functions run with, for tools that must agree with them."""

import boto3

from chalicelib.settings import Settings
from infra.deploy.deployer import Stack


def settings_of(stack: Stack) -> Settings:
    """Read from the API function's environment.

    Raises:
        ConfigurationError: the stage was deployed by another version of this checkout.
    """
    configuration = boto3.client("lambda").get_function_configuration(FunctionName=stack.functions["api"])
    return Settings.from_environment(configuration["Environment"]["Variables"])
