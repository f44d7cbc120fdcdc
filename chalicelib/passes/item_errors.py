"""The error of an invalid pass item."""

from chalicelib.core.errors import RefusedError, excerpt, shorten


class ItemError(RefusedError):
    """A pass item is invalid. The message names the pass, the attribute, what is wrong and what to do.

    All of these may quote text of the pipeline of any length, so the message is limited.
    """

    def __init__(self, pass_id: object, attribute: str, problem: str) -> None:
        attribute, problem = excerpt(attribute), shorten(problem)
        super().__init__(
            shorten(f"pass item {excerpt(pass_id, max_characters=300)}: attribute '{attribute}': {problem}")
        )
        self.pass_id = str(pass_id)
        self.attribute = attribute
        self.problem = problem
