"""The template `member`, for the tests of files of pass items."""

import pytest

from chalicelib.aws.templates import Templates
from tests.support import samples


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    return Templates(folder=samples.member_templates(tmp_path_factory.mktemp("templates")))
