-- One row: how often the agent ran here, and whether the store came out of a backup and the agent has learnt nothing yet.
CREATE TABLE node (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    session INTEGER NOT NULL,
    restored INTEGER NOT NULL CHECK (restored IN (0, 1))
) STRICT;

CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One row: the agent's store, as JSON.
CREATE TABLE agent (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL CHECK (json_valid(body))
) STRICT;

-- At most one row: all of the voter's store but its snapshot and its log.
CREATE TABLE voter (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    voter INTEGER NOT NULL,
    restored_from_backup INTEGER NOT NULL CHECK (restored_from_backup IN (0, 1)),
    term INTEGER NOT NULL,
    vote INTEGER,
    commit_index INTEGER NOT NULL,
    base_index INTEGER NOT NULL,
    base_term INTEGER NOT NULL
) STRICT;

CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY REFERENCES voter (id) ON DELETE CASCADE,
    body BLOB NOT NULL
) STRICT;

CREATE TABLE log_entry (
    log_index INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;

CREATE TABLE ledger (
    generation INTEGER NOT NULL,
    log_index INTEGER NOT NULL,
    part INTEGER NOT NULL,
    at_milliseconds INTEGER NOT NULL,
    vm INTEGER,
    host INTEGER,
    kind TEXT NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body)),
    PRIMARY KEY (generation, log_index, part)
) STRICT, WITHOUT ROWID;

-- An index of such a table ends with its primary key, so these also give the order within one millisecond.
CREATE INDEX ledger_by_time ON ledger (at_milliseconds);
CREATE INDEX ledger_by_vm ON ledger (vm, at_milliseconds) WHERE vm IS NOT NULL;
CREATE INDEX ledger_by_host ON ledger (host, at_milliseconds) WHERE host IS NOT NULL;

CREATE TRIGGER ledger_is_not_changed BEFORE UPDATE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only added to');
END;

CREATE TRIGGER ledger_is_not_shortened BEFORE DELETE ON ledger
BEGIN
    SELECT RAISE(ABORT, 'the ledger is only added to');
END;
