"""Files wherever they are: local paths, `file://`, `s3://` and `gs://`, one set of verbs for all.

A plain path and a `file://` uri give the same file; listings name local files by their absolute path. Only `file://`
uris are percent-decoded: in paths and in `s3://` and `gs://` uris every character stands for itself.
"""

from kie_ray.storage.files import delete_tree, exists, join, open_output, read_bytes, read_text, write_text
from kie_ray.storage.listing import StoredFile, list_files
from kie_ray.storage.places import filesystem_for

__all__ = [
    "StoredFile",
    "delete_tree",
    "exists",
    "filesystem_for",
    "join",
    "list_files",
    "open_output",
    "read_bytes",
    "read_text",
    "write_text",
]
