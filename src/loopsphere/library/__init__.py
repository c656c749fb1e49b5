"""What is remembered of a collection: files, embeddings, attributes, scores; and which loops are the same.

`store` keeps it in LanceDB tables in one folder, `memory` is what one run recalls and adds, `fingerprint`,
`comparison` and `duplicates` tell copies from look-alikes, `moved` and `relation` find those moved.
"""

from loopsphere.library.records import FileRecord, NearAudio, RunRecord, Usage
from loopsphere.library.store import DEFAULT_NAME, Library, open_library

__all__ = ["DEFAULT_NAME", "FileRecord", "Library", "NearAudio", "RunRecord", "Usage", "open_library"]
