"""The command line: what a user types, reads and gets back as an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

import crossfade as cf
from command_line import answer, crossfade, finish, start
from crossfade.cli import results
from crossfade.cli.documents import read
from crossfade.errors import InvalidInput
from support import documents, filled

LINES = (
    '{"id": "a1", "text": "How do I reset my password?", "lang": "en", "year": 2020}\n'
    '{"_id": "a2", "text": "The cat sat on the mat", "title": "Cats", "lang": "en"}\n'
    "\n"
    '{"id": "a3", "text": "Les heures du dimanche", "lang": "fr"}\n'
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text(LINES)
    return path


@pytest.fixture
def kb(folder: Path, source: Path, l3: cf.Encoder) -> Path:
    """A collection of the three documents above."""
    with cf.Collection.create(folder, l3) as docs:
        docs.upsert(read(str(source)))
    return folder


def test_create_add_search(folder: Path, source: Path) -> None:
    """The first three commands anyone types."""
    assert answer("create", folder, "--model", "minilm-l3")["model"] == "minilm-l3"
    added = answer("add", folder, source)
    assert (added["new"], added["unchanged"], added["documents"]) == (3, 0, 3)
    hits = answer("search", folder, "forgotten password", "-k", "2")["hits"]
    assert hits[0]["id"] == "a1"
    assert len(hits) == 2
    assert hits[0]["meta"] == {"lang": "en", "year": 2020}
    assert answer("search", folder, "forgotten password", "-k", "2", "--merge", "rrf")["hits"] == hits
    explained = answer("search", folder, "forgotten password", "-k", "2", "--explain")["explanation"]
    assert (explained["reason"], [hit["id"] for hit in explained["hits"]]) == ("alone", [hit["id"] for hit in hits])


def test_add_again_changes_nothing(kb: Path, source: Path) -> None:
    """What is there already is told apart from what is new or changed."""
    added = answer("add", kb, source)
    assert (added["new"], added["changed"], added["unchanged"]) == (0, 0, 3)


def test_documents_that_are_cut_are_told(kb: Path, tmp_path: Path) -> None:
    """add and status say how many documents are longer than what the model takes."""
    (tmp_path / "long.jsonl").write_text(json.dumps({"id": "long", "text": "reset the password " * 200}) + "\n")
    told = "version 1: 1 of 4 documents were cut at 256 tokens"
    assert told in crossfade("add", kb, tmp_path / "long.jsonl").output
    assert told in crossfade("status", kb).output
    assert answer("status", kb)["versions"][0]["cut"] == 1


def test_add_from_stdin(kb: Path) -> None:
    """`-` reads stdin, with the format named where it isn't JSON lines."""
    assert answer("add", kb, "-", stdin='{"id": 7, "text": "A number is an id too"}\n')["new"] == 1
    assert answer("add", kb, "-", "--format", "csv", stdin="id,text\nc1,From a table\n")["new"] == 1


def test_add_from_a_pipe(kb: Path, tmp_path: Path) -> None:
    """A named pipe, as the shell's `<(…)` gives, can be read only once, and is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=('{"id": "p1", "text": "Through a pipe"}\n',))
    writer.start()
    added = answer("add", kb, pipe)
    writer.join()
    assert (added["new"], added["documents"]) == (1, 4)


def test_results_fit_a_terminal_of_few_letters(kb: Path) -> None:
    """Where stdout takes ASCII only, JSON says the same and a line shows what it can."""
    with cf.Collection.open(kb) as docs:
        docs.upsert(cf.Document("ru", "Сколько времени"))
    code, stdout, _ = finish(start("search", kb, "Сколько", "-k", "1", "--json", PYTHONIOENCODING="ascii"))
    assert (code, json.loads(stdout)["hits"][0]["text"]) == (0, "Сколько времени")
    code, stdout, _ = finish(start("search", kb, "Сколько", "-k", "1", PYTHONIOENCODING="ascii"))
    assert (code, "ru  ???" in stdout) == (0, True)


def test_search_filters(kb: Path) -> None:
    """One field's values are alternatives, and a number finds the number."""

    def ids(*conditions: str) -> set[str]:
        options = [word for condition in conditions for word in ("--filter", condition)]
        return {hit["id"] for hit in answer("search", kb, "cats", *options)["hits"]}

    assert ids("lang=fr") == {"a3"}
    assert ids("lang=fr", "lang=en") == {"a1", "a2", "a3"}
    assert ids("year=2020") == {"a1"}
    assert ids("lang=fr", "year=2020") == set()


def test_abandon_drops_the_migration(kb: Path) -> None:
    """`abandon` leaves the collection as it was before `migrate`; without a migration it is an error."""
    answer("migrate", kb, "--to", "minilm-l6")
    assert answer("abandon", kb)["abandoned"]
    assert answer("status", kb)["migration"] is None
    assert crossfade("abandon", kb).exit_code == 1


def test_search_shows_lines(kb: Path) -> None:
    """Without --json a hit is a line: rank, score, id, text; square brackets are text as well."""
    crossfade("add", kb, "-", stdin='{"id": "b", "text": "the [bold] word in [/brackets]"}\n')
    done = crossfade("search", kb, "brackets", "-k", "1")
    assert done.stdout.split()[0::2][:2] == ["1", "b"]
    assert "the [bold] word in [/brackets]" in done.stdout


def test_migrate_cut_over_roll_back_prune(kb: Path) -> None:
    """The whole way to another model and back, each step naming the next."""
    migrated = answer("migrate", kb, "--to", "minilm-l6")
    assert (migrated["done"], migrated["documents"]) == (3, 3)
    assert migrated["next"] == f"crossfade cutover {kb}"
    assert answer("status", kb)["live"] == 1
    assert answer("cutover", kb)["state"] == "cut over"
    assert answer("status", kb)["live"] == 2
    assert answer("rollback", kb)["live"] == 1
    answer("cutover", kb)
    assert answer("prune", kb)["dropped"] == []
    assert answer("prune", kb, "--force")["dropped"] == [1]
    assert answer("search", kb, "forgotten password")["hits"][0]["id"] == "a1"


def test_cut_over_to_both(folder: Path, old: cf.Encoder, new: cf.Encoder) -> None:
    """--serve blend keeps both versions answering, which cutover, status and prune say; --serve new ends it."""
    with filled(folder, old, 80) as docs:
        docs.migrate(new).run()
    both = "versions 1 and 2 answer together"
    assert f"{folder}: {both}" in crossfade("cutover", folder, "--serve", "blend").stdout
    assert answer("status", folder)["migration"]["serve"] == "blend"
    assert f"80 documents, {both}" in crossfade("status", folder).stdout
    assert f"nothing to drop: {both} until crossfade cutover {folder} --serve new;" in crossfade("prune", folder).stdout
    assert "now answers with version 2" in crossfade("cutover", folder, "--serve", "new").stdout
    assert "nothing to drop; --force ignores retention" in crossfade("prune", folder).stdout
    refused = crossfade("cutover", folder, "--serve", "both")
    assert (refused.exit_code, "serve must be one of new, blend" in refused.stderr) == (1, True)
    assert answer("cutover", folder, "--serve", "blend")["serve"] == "blend"
    assert answer("prune", folder, "--force")["dropped"] == [1]


def test_migrate_in_an_order(kb: Path) -> None:
    """--order takes a name or a mix, which later runs and the status tell; what is none is refused before it begins."""
    refused = crossfade("migrate", kb, "--to", "minilm-l6", "--order", "hottest")
    assert refused.exit_code == 1
    assert "order must be one of default, hot, recent" in refused.output
    assert answer("status", kb)["migration"] is None
    assert answer("migrate", kb, "--to", "minilm-l6", "--order", "0.7*hot+.3*recent")["order"] == "0.7*hot + 0.3*recent"
    assert answer("status", kb)["migration"]["order"] == "0.7*hot + 0.3*recent"


def test_status_shows_versions_and_migration(kb: Path) -> None:
    """People see the versions as a table and how far the migration is."""
    crossfade("migrate", kb, "--to", "minilm-l6")
    said = crossfade("status", kb).stdout
    assert "3 documents, version 1 answers" in said
    assert "│ 1       │ live    │ minilm-l3 │" in said
    assert "migration 1 → 2: filling, 3 of 3 documents done (100%), 0 failed" in said


def test_cutover_needs_a_migration(kb: Path) -> None:
    """Without a migration the message names the command that starts one."""
    done = crossfade("cutover", kb)
    assert done.exit_code == 1
    assert f"crossfade migrate {kb} --to MODEL" in done.stderr


def test_doctor_and_backup(kb: Path, tmp_path: Path) -> None:
    """A sound collection is exit code 0; its backup is a collection; a destination that is taken is refused."""
    looked = answer("doctor", kb)
    assert (looked["wrong"], {finding["severity"] for finding in looked["findings"]}) == (0, {"ok"})
    done = crossfade("doctor", kb)
    assert done.exit_code == 0
    assert f"{kb}: nothing is wrong" in done.stdout
    made = answer("backup", kb, tmp_path / "copy.cf")
    assert (made["path"], made["documents"], made["left_out"]) == (str(tmp_path / "copy.cf"), 3, [])
    assert answer("search", tmp_path / "copy.cf", "forgotten password")["hits"][0]["id"] == "a1"
    taken = crossfade("backup", kb, tmp_path / "copy.cf")
    assert taken.exit_code == 1
    assert "exists already" in taken.stderr


def test_doctor_repairs(kb: Path) -> None:
    """Damage is exit code 1 and a line that names the file; --repair embeds with the collection's own model."""
    path = max(kb.glob("versions/0001/*.rows"), key=lambda path: path.stat().st_size)
    path.write_bytes(bytes(path.stat().st_size))
    done = crossfade("doctor", kb)
    assert done.exit_code == 1
    assert "damage" in done.stdout
    assert str(path) in done.stdout
    assert "to do: crossfade doctor --repair" in done.stdout
    assert json.loads(crossfade("doctor", kb, "--json").stdout)["wrong"] == 2
    mended = answer("doctor", kb, "--repair")
    assert mended["wrong"] == 0
    assert any(finding["repaired"] for finding in mended["findings"])
    assert answer("search", kb, "forgotten password")["hits"][0]["id"] == "a1"


def test_models_are_listed_and_verified() -> None:
    """The models that ship as manifests are listed; what is cached is intact."""
    crossfade("models", "pull", "minilm-l3")
    names = {info["name"]: info for info in answer("models", "list")["models"]}
    assert names["minilm-l3"]["cached"] is True
    assert names["minilm-l6"]["dim"] == 384
    verified = answer("models", "verify", "minilm-l3")
    assert verified["intact"] is True
    assert all(verified["files"].values())


def test_verify_of_an_empty_cache_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing file is exit code 1, with the command that fetches it."""
    monkeypatch.setenv("CROSSFADE_CACHE", str(tmp_path))
    done = crossfade("models", "verify", "minilm-l3")
    assert done.exit_code == 1
    assert "crossfade models pull minilm-l3" in done.stderr


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (("search", "nowhere.cf", "text"), "NotACollection"),
        (("create", "new.cf", "--model", "no-such-model"), "UnknownModel"),
        (("status", "nowhere.cf"), "NotACollection"),
        (("models", "pull", "no-such-model"), "UnknownModel"),
    ],
)
def test_errors_are_one_line(words: Sequence[str], kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error is one line on stderr and exit code 1; with --json its type and message are on stdout."""
    monkeypatch.chdir(tmp_path)
    done = crossfade(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    done = crossfade(*words, "--json")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["type"] == kind
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("search",), ("no-such-command",), ("search", "kb.cf", "x", "-k", "many")])
def test_usage_errors_are_2(words: Sequence[str]) -> None:
    """What can't be a command line is exit code 2."""
    assert crossfade(*words).exit_code == 2


def test_processes_end_with_their_codes(kb: Path) -> None:
    """A real process: one JSON object on stdout, no traceback but with CROSSFADE_DEBUG=1."""
    good, quiet, loud = (
        start("search", kb, "forgotten password", "--json"),
        start("search", kb.parent / "nowhere", "x"),
        start("search", kb.parent / "nowhere", "x", CROSSFADE_DEBUG="1"),
    )
    code, stdout, _ = finish(good)
    assert (code, json.loads(stdout)["hits"][0]["id"]) == (0, "a1")
    code, stdout, stderr = finish(quiet)
    assert (code, stdout, "Traceback" in stderr) == (1, "", False)
    code, _, stderr = finish(loud)
    assert (code, "Traceback" in stderr) == (1, True)


def test_an_interrupted_migration_resumes(folder: Path, l3: cf.Encoder) -> None:
    """Ctrl-C ends with 130 and names the command that resumes; that one does the rest."""
    with cf.Collection.create(folder, l3) as docs:
        texts = [document.text for document in documents(450)]
        docs.upsert([cf.Document(f"d{n}", f"{text} {texts[n - 1]} {n}") for n, text in enumerate(texts)])
    process = start("migrate", folder, "--to", "minilm-l6")
    assert process.stderr is not None
    while not process.stderr.readline().startswith("bridge:"):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    code, stdout, stderr = finish(process)
    assert (code, stdout) == (130, ""), stderr
    assert f"Resume: crossfade migrate {folder} --to minilm-l6" in stderr
    left = answer("status", folder)["migration"]
    assert (left["state"], left["fitted"], left["done"] < 450) == ("filling", True, True)
    assert answer("migrate", folder, "--to", "minilm-l6")["done"] == 450


def test_another_process_can_read_meanwhile(folder: Path, l3: cf.Encoder) -> None:
    """Commands work while a service holds the collection."""
    with filled(folder, l3, 20) as docs:
        assert answer("status", folder)["documents"] == 20
        assert answer("add", folder, "-", stdin='{"id": "x", "text": "brand new words"}\n')["documents"] == 21
        assert docs.search("brand new words", k=1).ids == ["x"]


def test_help_needs_nothing_heavy() -> None:
    """The command line loads no native library before a command does."""
    heavy = "{'onnxruntime', 'usearch', 'tokenizers', 'apsw', 'numpy'}"
    program = f"import sys, crossfade.cli; sys.exit(str({heavy} & set(sys.modules) or '') or 0)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("c.jsonl", '{"id": "a", "text": "x"}\n{"id": "b"}\n', "line 2: needs a field text"),
        ("c.jsonl", '{"id": "a", "text": "x"}\n\n{"text": "y"}\n', "line 3: needs one field id"),
        ("c.jsonl", '{"id": "a", "text": "x"}\nnot json\n', "line 2: must be one JSON object"),
        ("c.jsonl", "[1, 2]\n", "line 1: must be one JSON object, got list"),
        ("c.jsonl", '{"id": "a", "text": "  "}\n', "line 1: document 'a' needs a text"),
        ("c.jsonl", '{"id": "a", "text": "x", "n": NaN}\n', "line 1: the meta of document 'a'"),
        ("c.jsonl", b'{"id": "a", "text": "x"}\n\xff\n', "line 2: must be UTF-8"),
        ("c.csv", "id,text\na,x\nb,y,z\n", "line 3: has more fields than the header"),
        ("c.csv", 'id,text\na,"x\n', "can't be read as CSV"),
        ("c.csv", "name,text\na,x\n", "line 2: needs one field id"),
    ],
)
def test_a_bad_line_is_named(name: str, content: str | bytes, said: str, kb: Path, tmp_path: Path) -> None:
    """The message names file and line, and nothing of the file was added, whatever came before."""
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    done = crossfade("add", kb, path)
    assert done.exit_code == 1
    assert said in done.stderr
    assert str(path) in done.stderr
    assert answer("status", kb)["documents"] == 3


def test_csv_fields_become_documents(tmp_path: Path) -> None:
    """Quoted fields may hold commas and line ends; empty ones are left out; a byte order mark is no part of a name."""
    path = tmp_path / "c.csv"
    path.write_bytes('\ufeffid,title,text,lang\na,,"one, two\nthree",\nb,T,four,en\n'.encode())
    first, second = read(str(path))
    assert (first.id, first.text, first.title, first.meta) == ("a", "one, two\nthree", None, {})
    assert (second.title, second.meta) == ("T", {"lang": "en"})


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """A file that can't be opened is named."""
    with pytest.raises(InvalidInput, match=r"none\.jsonl can't be read"):
        list(read(str(tmp_path / "none.jsonl")))


@pytest.mark.parametrize("condition", ["lang", "=en"])
def test_a_filter_needs_field_and_value(condition: str) -> None:
    """A condition without a field or a value is refused."""
    with pytest.raises(InvalidInput, match="field=value"):
        results.filter_of([condition])


def test_filter_values_have_their_json_meaning_too() -> None:
    """Numbers and truth values match the string and the JSON value; anything else only itself."""
    meant = results.filter_of(["a=1.5", "a=x", "b=true", "c=NaN", "d=[1]", "e=a=b"])
    assert meant == {"a": ["1.5", 1.5, "x"], "b": ["true", True], "c": ["NaN"], "d": ["[1]"], "e": ["a=b"]}
