"""The catalog's tables, as SQL. The catalog is the only truth about a collection.

A new catalog gets the tables of the first format and then every step that came after, as an older one does when it is
opened.
"""

from __future__ import annotations

FORMAT_VERSION = 6
APPLICATION_ID = 0x43464144  # "CFAD", in the SQLite header

TABLES = """
CREATE TABLE collection (                       -- one row
    one        INTEGER PRIMARY KEY CHECK (one = 1),
    uuid       TEXT    NOT NULL,
    created_at REAL    NOT NULL,                -- Unix seconds, like every time here
    epoch      INTEGER NOT NULL,                -- grows whenever the set of versions or their roles changes
    seq        INTEGER NOT NULL,                -- grows with every commit that changes documents
    live       INTEGER NOT NULL REFERENCES version (id),
    documents  INTEGER NOT NULL DEFAULT 0       -- kept by triggers
);

CREATE TABLE version (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    space          TEXT    NOT NULL,            -- JSON of the Space
    encoder        TEXT,                        -- name it can be loaded by; NULL for a wrapped callable
    engine         TEXT    NOT NULL,            -- JSON: engine, precision and library versions that made its vectors
    state          TEXT    NOT NULL CHECK (state IN ('live', 'filling', 'retained', 'dropped')),
    created_at     REAL    NOT NULL,
    retained_until REAL,
    pending        INTEGER NOT NULL DEFAULT 0,  -- documents without a vector; kept by triggers
    failed         INTEGER NOT NULL DEFAULT 0   -- those of them that were given up; kept by triggers
);

CREATE TABLE document (                         -- current revisions only
    key        INTEGER PRIMARY KEY AUTOINCREMENT,   -- one per revision, never reused
    id         TEXT    NOT NULL UNIQUE,
    text       TEXT    NOT NULL,
    title      TEXT,
    meta       TEXT    NOT NULL,                -- JSON object
    updated_at REAL,
    priority   REAL    NOT NULL,
    text_hash  BLOB    NOT NULL,
    hits       INTEGER NOT NULL DEFAULT 0       -- how often searches looked at it, and how high: may be a fraction
);

CREATE TABLE tombstone (                        -- keys of revisions that were edited or deleted
    key INTEGER PRIMARY KEY,
    seq INTEGER NOT NULL
);
CREATE INDEX tombstone_by_seq ON tombstone (seq);

CREATE TABLE facet (                            -- one row per metadata field (and per item of a list), value as JSON
    field TEXT    NOT NULL,
    value TEXT    NOT NULL,
    key   INTEGER NOT NULL REFERENCES document (key) ON DELETE CASCADE,
    PRIMARY KEY (field, value, key)
) WITHOUT ROWID;
CREATE INDEX facet_by_key ON facet (key);

CREATE TABLE file (                             -- append-only vector files and their committed length
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    id          TEXT    NOT NULL UNIQUE,
    version     INTEGER NOT NULL REFERENCES version (id),
    rows        INTEGER NOT NULL,
    block_bytes INTEGER NOT NULL,
    sealed_rows INTEGER NOT NULL                -- rows before this one are in segments
);

CREATE TABLE segment (
    name     TEXT    PRIMARY KEY,
    version  INTEGER NOT NULL REFERENCES version (id),
    rows     INTEGER NOT NULL,
    size     INTEGER NOT NULL,
    checksum TEXT    NOT NULL
);
CREATE TABLE segment_range (                    -- the rows a segment was built from
    segment TEXT    NOT NULL REFERENCES segment (name) ON DELETE CASCADE,
    file    INTEGER NOT NULL REFERENCES file (number),
    start   INTEGER NOT NULL,
    stop    INTEGER NOT NULL,
    PRIMARY KEY (segment, file, start)
) WITHOUT ROWID;

CREATE TABLE task (                             -- a document revision that a version has no vector for yet
    version     INTEGER NOT NULL REFERENCES version (id),
    key         INTEGER NOT NULL REFERENCES document (key) ON DELETE CASCADE,
    rank        REAL    NOT NULL,               -- higher is done earlier
    state       TEXT    NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'leased', 'failed')),
    lease       TEXT,
    lease_until REAL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    error       TEXT,
    PRIMARY KEY (key, version)                  -- by key first: an edit, a delete and a hit look a document's up
) WITHOUT ROWID;
CREATE INDEX task_by_rank ON task (version, state, rank DESC, key);

CREATE TABLE migration (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    source     INTEGER NOT NULL REFERENCES version (id),
    target     INTEGER NOT NULL REFERENCES version (id),
    state      TEXT    NOT NULL CHECK (state IN ('filling', 'cut over', 'rolled back', 'abandoned', 'done')),
    started_at REAL    NOT NULL,
    bridge     TEXT                             -- folder below bridges/, once fitted
);

CREATE TABLE verified (                         -- files whose checksum was found right, by identity
    identity TEXT PRIMARY KEY
) WITHOUT ROWID;

CREATE TABLE journal (
    at     REAL NOT NULL,
    event  TEXT NOT NULL,
    detail TEXT NOT NULL                        -- JSON object
);
"""

TRIGGERS = """
CREATE TRIGGER document_added AFTER INSERT ON document BEGIN
    UPDATE collection SET documents = documents + 1;
END;
CREATE TRIGGER document_removed AFTER DELETE ON document BEGIN
    UPDATE collection SET documents = documents - 1;
    INSERT INTO tombstone (key, seq) SELECT old.key, seq FROM collection;
END;
CREATE TRIGGER task_added AFTER INSERT ON task BEGIN
    UPDATE version SET pending = pending + 1, failed = failed + (new.state = 'failed') WHERE id = new.version;
END;
CREATE TRIGGER task_removed AFTER DELETE ON task BEGIN
    UPDATE version SET pending = pending - 1, failed = failed - (old.state = 'failed') WHERE id = old.version;
END;
CREATE TRIGGER task_changed AFTER UPDATE OF state ON task BEGIN
    UPDATE version SET failed = failed + (new.state = 'failed') - (old.state = 'failed') WHERE id = new.version;
END;
"""

# Format → what makes the next one of it.
UPGRADES = {
    1: """
CREATE TABLE cut (                              -- documents of which a version's model sees the beginning only
    version INTEGER NOT NULL REFERENCES version (id),
    key     INTEGER NOT NULL REFERENCES document (key) ON DELETE CASCADE,
    PRIMARY KEY (key, version)
) WITHOUT ROWID;
ALTER TABLE version ADD COLUMN cut INTEGER NOT NULL DEFAULT 0;  -- how many those are; kept by triggers
CREATE TRIGGER cut_added AFTER INSERT ON cut BEGIN
    UPDATE version SET cut = cut + 1 WHERE id = new.version;
END;
CREATE TRIGGER cut_removed AFTER DELETE ON cut BEGIN
    UPDATE version SET cut = cut - 1 WHERE id = old.version;
END;
CREATE INDEX document_by_text ON document (text_hash);
""",
    2: """
ALTER TABLE task ADD COLUMN due REAL;           -- not taken again earlier; NULL for at once
ALTER TABLE task ADD COLUMN part INTEGER;       -- most that are taken together, after a worker died over more of them
""",
    3: """
ALTER TABLE migration ADD COLUMN serve TEXT NOT NULL DEFAULT 'new';     -- which versions answer after the cutover
ALTER TABLE migration ADD COLUMN fill_order TEXT NOT NULL DEFAULT 'default';
ALTER TABLE migration ADD COLUMN ordered INTEGER NOT NULL DEFAULT 0;    -- whether its tasks have their ranks by it
ALTER TABLE document ADD COLUMN failing REAL NOT NULL DEFAULT 0;        -- like hits, of queries reported as failing
CREATE TABLE query (                            -- texts that were searched for, the most frequent ones
    text    TEXT    PRIMARY KEY,
    count   INTEGER NOT NULL,
    last_at REAL    NOT NULL,
    failing INTEGER NOT NULL DEFAULT 0          -- how often it was reported
) WITHOUT ROWID;
""",
    4: """
CREATE TABLE judgement (                        -- how well a document answers a query, as somebody said
    query    TEXT NOT NULL,
    document TEXT NOT NULL,                     -- its id: what was said of it survives an edit, and a delete
    grade    REAL NOT NULL,                     -- above 0 is relevant
    at       REAL NOT NULL,
    judge    TEXT NOT NULL,                     -- who said so: 'person', 'clicks', or a name
    PRIMARY KEY (query, document)
) WITHOUT ROWID;
""",
    5: """
-- Candidates to keep in a search for the 100 nearest rows; those built before were not asked, and get what most need.
ALTER TABLE segment ADD COLUMN expansion INTEGER NOT NULL DEFAULT 200;
ALTER TABLE segment ADD COLUMN scale REAL NOT NULL DEFAULT 0;   -- of its rows in int8; 0 for float16
ALTER TABLE segment ADD COLUMN seq INTEGER NOT NULL DEFAULT -1;  -- rows that were dead by then are not in it
""",
}
