"""Writes the golden collection of the present format: `python tests/golden/make.py` (once per released format).

Twenty documents in 16 dims, moved to 24 dims with the old version retained, in segments. It is committed as it is,
and every later crossfade must open it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import crossfade as cf  # noqa: E402
from crossfade.catalog.schema import FORMAT_VERSION  # noqa: E402
from crossfade.store import sealing  # noqa: E402
from support import documents, settle, wrapped  # noqa: E402

OLD, NEW = ("golden-old", 16, 11), ("golden-new", 24, 12)
COUNT = 20


def make(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    sealing.TAIL_ROWS = 15
    with cf.Collection.create(folder, wrapped(*OLD)) as docs:
        docs.upsert(documents(COUNT + 2))
        settle(docs)
        docs.upsert(cf.Document("titled", "text with a title", title="Title", updated_at=1.7e9, priority=2.0))
        docs.delete(["d20", "d21"])
        fade = docs.migrate(wrapped(*NEW))
        fade.run()
        settle(docs)
        fade.cutover()
        docs.judge("a question", "d3", 2)


if __name__ == "__main__":
    make(HERE / f"format-{FORMAT_VERSION}")
