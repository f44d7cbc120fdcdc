"""The defects of `python -m tests.soak.sabotage` can be put into the code as it is now."""

import pytest

from tests.schedules.mutations import edited
from tests.soak.sabotage import DEFECTS


@pytest.mark.parametrize("defect", DEFECTS)
def test_defect_follows_the_code(defect: str) -> None:
    for module, source in edited(DEFECTS[defect].edits, name=defect).items():
        compile(source, str(module.__file__), "exec")
