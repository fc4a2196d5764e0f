"""The endpoint from Python: files in, the same `Document`s out as the Extractor gives, without models on this side.

    from kie_ray.client import Client

    with Client("http://127.0.0.1:8000") as client:
        document = client.extract("form.jpg")
        for source, document in client.extract_many(paths):
            ...

`AsyncClient` has the same methods as coroutines. `python -m kie_ray.client URL FILE...` prints the fields of files.
"""

from kie_ray.client.asynchronous import AsyncClient
from kie_ray.client.body import Annotations, Source
from kie_ray.client.errors import ApiError
from kie_ray.client.results import Picture, PicturedDocument, ServedModel
from kie_ray.client.retries import Retries
from kie_ray.client.synchronous import Client

__all__ = [
    "Annotations",
    "ApiError",
    "AsyncClient",
    "Client",
    "Picture",
    "PicturedDocument",
    "Retries",
    "ServedModel",
    "Source",
]
