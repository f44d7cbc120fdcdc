"""The settings that a deployed stage's functions run with, for tools that must agree with them."""

from chalicelib.settings import Settings
from infra.deploy.deployer import Stack
from infra.stage import aws


def settings_of(stack: Stack) -> Settings:
    """Read from the API function's environment.

    Raises:
        ConfigurationError: the stage was deployed by another version of this checkout.
    """
    configuration = aws.client("lambda").get_function_configuration(FunctionName=stack.functions["api"])
    return Settings.from_environment(configuration["Environment"]["Variables"])
