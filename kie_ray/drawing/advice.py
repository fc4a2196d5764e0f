"""What a person can do about a document that failed, by category."""

from __future__ import annotations

from kie_ray.errors import Category

ADVICE: dict[Category, str] = {
    Category.EMPTY: "The file has no bytes, or no page. See what wrote it; fetch it again.",
    Category.CORRUPT: "The file is cut off or damaged. Get a fresh copy: a transfer or a scanner lost a part.",
    Category.UNSUPPORTED: "The file is of no format that is read (JPEG, PNG, TIFF, BMP, WebP, PDF). Convert it, or "
    "leave it out of the inputs.",
    Category.ENCRYPTED: "The PDF needs a password. Save it without one.",
    Category.TOO_LARGE: "The file or page is over a limit of bytes or pixels. If it is a real form, raise "
    "limits.max_bytes or limits.max_pixels, or scan it with fewer dots per inch.",
    Category.TOO_MANY_PAGES: "The document has more pages than limits.max_pages. Raise the limit or split it.",
    Category.TIMEOUT: "The work took longer than limits.max_seconds. Raise it, or try again on a calmer machine.",
    Category.CRASH: "A decoder or model died of this document, or needed more than limits.max_memory_bytes. Try it "
    "alone; where it happens again, convert the file with another program.",
    Category.NOT_FOUND: "The storage does not have it: it was moved or deleted after it was listed, or the manifest "
    "names it wrongly.",
    Category.FORBIDDEN: "The storage refuses it. Give the job's credentials the right to read it.",
    Category.UNAVAILABLE: "The storage did not answer, several times. Run again with errors/ as the input.",
    Category.NO_ANNOTATION: "The annotation file does not name this page. Add its row, or leave the file out.",
    Category.INTERNAL: "This is a defect of kie_ray. The logs of the workers hold the traceback; please report it.",
}
"""One or two sentences each; limits are named as in the configuration."""


def advice(category: str) -> str:
    """What to do about failures of `category`. Raises ValueError for one that does not exist."""
    return ADVICE[Category(category)]
