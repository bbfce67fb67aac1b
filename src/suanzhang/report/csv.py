"""The rows of a report as CSV text, units in the header line."""

from __future__ import annotations

import csv
import io

from suanzhang.errors import InputError
from suanzhang.report.blocks import Report, Table, with_ends


def table_csv(table: Table) -> str:
    """A table as CSV (RFC 4180): unrounded, empty where there is none, percentiles of intervals in columns of their own."""
    table = with_ends(table)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([column.header for column in table.columns])
    writer.writerows(["" if cell is None else cell for cell in row] for row in table.rows)
    return out.getvalue()


def report_csv(report: Report) -> str:
    """The main table of a report as CSV.

    Raises:
        InputError: the report has no rows.
    """
    table = report.main_table
    if table is None:
        raise InputError("this answer has no rows", fix="use --json")
    return table_csv(table)
