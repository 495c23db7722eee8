"""A WSGI application that opens its collection when it is loaded: what gunicorn preloads before it forks."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs

import crossfade as cf
from support import OLD, wrapped

docs = cf.Collection.open(os.environ["COLLECTION"], wrapped(*OLD))
preloaded = len(docs.search("anything", k=5))  # connections and segments are open when the workers are forked


def application(
    environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], Any]
) -> Iterable[bytes]:
    """Answers ?q=… with who answered and what was found; ?add=… writes a document first."""
    asked = parse_qs(environ["QUERY_STRING"])
    for identifier in asked.get("add", []):
        docs.upsert(cf.Document(identifier, asked["q"][0]))
    answer = {"pid": os.getpid(), "loaded_by": loader, "ids": docs.search(asked["q"][0], k=3).ids}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


loader = os.getpid()
