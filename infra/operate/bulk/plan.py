"""Options of an import, and how they make items of a file's rows: for the import, its survey and its links."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chalicelib.aws.templates import Templates
from chalicelib.core.errors import ConfigurationError, RefusedError
from infra.operate.bulk.columns import Columns
from infra.operate.bulk.files.base import Row, RowFile
from infra.operate.passes.images import ImageUploads
from infra.stage.stage import Stage


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """Options of an import.

    Args:
        stage: the stage; its name becomes part of the journal's name.
        pass_type: pass type of rows that contain only a serial number.
        template: template of rows that name none.
        mapping: targets by column, for columns whose names do not say what they are (`columns.py`).
        rate: maximum number of rows per second; None for no limit.
        check_pass_type: raises an error if passes of a type cannot be signed.
        side_files: path beside which the journal and the reject file are written, if not beside the imported file.
    """

    stage: Stage
    pass_type: str | None = None
    template: str | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    rate: float | None = None
    check_pass_type: Callable[[str], None] = lambda _: None
    side_files: Path | None = None

    @property
    def table_name(self) -> str:
        return self.stage.table("passes")


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """Progress of an import.

    Args:
        position: how far the file is read; at most `RowFile.size`.
        written: number of rows written.
        rejected: number of rows refused.
    """

    position: int
    written: int
    rejected: int


def columns_of(file: RowFile, plan: ImportPlan, templates: Templates, *, upload: bool = True) -> Columns:
    """Return how the columns of a file become attributes of passes.

    Args:
        file: the rows.
        plan: options.
        templates: templates of the stage.
        upload: files of images are uploaded; otherwise only checked.

    Raises:
        ColumnsError: the columns cannot become passes.
        ConfigurationError: passes of the plan's type cannot be signed.
    """
    if plan.pass_type is not None:
        plan.check_pass_type(plan.pass_type)
    uploads = None
    if "TemplatesBucketName" in plan.stage.outputs:
        uploads = ImageUploads(plan.stage, file.path.parent, dry_run=not upload)
    columns = Columns(
        mapping=plan.mapping,
        pass_type=plan.pass_type,
        template=plan.template,
        templates=templates,
        cells=file.cells,
        image_key=uploads.key_of if uploads else None,
        check_pass_type=plan.check_pass_type,
    )
    columns.take(file.columns)
    return columns


def item_of(row: Row, columns: Columns) -> tuple[dict[str, Any] | None, str]:
    """Return a row's item, or None and the reason why the row is refused."""
    if row.problem:
        return None, row.problem
    try:
        return columns.item(row.values), ""
    except (RefusedError, ConfigurationError) as error:
        return None, str(error)
