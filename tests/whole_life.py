"""A program that takes a collection through everything, to be watched: `python whole_life.py FOLDER`.

It says on standard output what was unpickled meanwhile, and at last by itself, which shows that it would have noticed.
"""

from __future__ import annotations

import _pickle
import pickle
import sys
from pathlib import Path
from typing import Any

unpickled: list[str] = []


def watched(name: str) -> Any:
    original = getattr(pickle, name)

    def noted(*arguments: Any, **keywords: Any) -> Any:
        unpickled.append(name)
        return original(*arguments, **keywords)

    return noted


def watch() -> None:
    """Notes every way into a pickle: Python's functions, and what the interpreter itself tells of them."""
    noted = {name: watched(name) for name in ("load", "loads", "Unpickler")}
    for name, function in noted.items():
        setattr(pickle, name, function)
        setattr(_pickle, name, function)
    sys.addaudithook(lambda event, _: unpickled.append(event) if event.startswith("pickle.") else None)


def live(root: Path) -> None:
    """Every public step once, with names that would lead out of the folder if they were taken for paths."""
    import crossfade as cf

    names = ["../../outside", "/tmp/outside", "..", "a/b", "'; ATTACH '/tmp/outside' AS x; --", "catalog.sqlite", "~"]
    old, new = (cf.Encoder.load(root / name, precision="float32", engine="onnxruntime") for name in ("old", "new"))
    words = ["alpha", "beta", "gamma", "delta"]
    batch = [cf.Document(f"d{n}", " ".join(words[n % 4 : n % 3 + 1] or words[n % 4])) for n in range(250)]
    batch += [cf.Document(name, f"alpha {name}", title=name, meta={name: name}) for name in names]
    with cf.Collection.create(root / "kb.cf", old) as docs:
        docs.upsert(batch)
        assert docs.search("alpha", filter={names[0]: names[0]}).ids == names[:1]
        fade = docs.migrate(new)
        fade.fit()
        fade.run()
        docs.search(names)
        fade.cutover(names[0])
        docs.rollback(force=names[1])
        fade.cutover()
        docs.delete(names)
        docs.backup(root / "backup.cf")
        docs.prune(force=True)
    cf.doctor.repair(root / "kb.cf", new)
    bridge = cf.Bridge.fit(old.encode(words * 5), new.encode(words * 5))
    bridge.save(root / "bridge")
    cf.Bridge.load(root / "bridge")


if __name__ == "__main__":
    watch()
    live(Path(sys.argv[1]))
    sys.stdout.write(f"{unpickled}\n")
    pickle.loads(pickle.dumps(Path()))
    sys.stdout.write(f"{unpickled}\n")
