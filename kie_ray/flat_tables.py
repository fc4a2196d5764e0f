"""From nested documents to the flat tables that analysts read, column by column: no row becomes a Python object."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from kie_ray.schemas import ENTITIES_SCHEMA, ERROR_TYPE, ERRORS_SCHEMA, FIELD_TYPE, FIELDS_SCHEMA


def fields_table(documents: pa.Table) -> pa.Table:
    """One row of FIELDS_SCHEMA for each key-value pair of `documents` (DOCUMENT_SCHEMA), in their order."""
    lists = _one_array(documents, "fields")
    owner = pc.list_parent_indices(lists)
    flat = pc.list_flatten(lists)
    columns = [_taken(documents, "doc_id", owner), _taken(documents, "uri", owner)]
    columns += [pc.struct_field(flat, item.name) for item in FIELD_TYPE]
    return pa.Table.from_arrays(columns, schema=FIELDS_SCHEMA)


def entities_table(documents: pa.Table) -> pa.Table:
    """One row of ENTITIES_SCHEMA for each line of each page, also for those without a label, in their order."""
    pages_of = _one_array(documents, "pages")
    owner_of_page = pc.list_parent_indices(pages_of)
    pages = pc.list_flatten(pages_of)
    lines_of = pc.struct_field(pages, "lines")
    page_of_line = pc.list_parent_indices(lines_of)
    lines = pc.list_flatten(lines_of)
    owner = pc.take(owner_of_page, page_of_line)
    columns = [
        _taken(documents, "doc_id", owner),
        _taken(documents, "uri", owner),
        pc.take(pc.struct_field(pages, "index"), page_of_line),
        pc.struct_field(lines, "id"),
    ]
    columns += [pc.struct_field(lines, name) for name in ("text", "ocr_score", "label", "label_score", "points")]
    return pa.Table.from_arrays(columns, schema=ENTITIES_SCHEMA)


def errors_table(documents: pa.Table) -> pa.Table:
    """One row of ERRORS_SCHEMA for each row of `documents` with an error, in their order."""
    failed = documents.filter(pc.is_valid(documents["error"]))
    error = _one_array(failed, "error")
    columns = {name: _one_array(failed, name) for name in ("doc_id", "uri", "status")}
    columns |= {item.name: pc.struct_field(error, item.name) for item in ERROR_TYPE}
    return pa.Table.from_arrays([columns[name] for name in ERRORS_SCHEMA.names], schema=ERRORS_SCHEMA)


def _one_array(table: pa.Table, name: str) -> pa.Array:
    column = table[name]
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _taken(table: pa.Table, name: str, owner: pa.Array) -> pa.Array:
    return pc.take(_one_array(table, name), owner)
