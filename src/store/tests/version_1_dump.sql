PRAGMA application_id = 1215261796;
PRAGMA user_version = 1;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE node (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    session INTEGER NOT NULL,
    restored INTEGER NOT NULL CHECK (restored IN (0, 1))
) STRICT;
INSERT INTO node VALUES(1,7,0);
CREATE TABLE setting (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO setting VALUES('cluster','blue');
CREATE TABLE agent (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    body TEXT NOT NULL CHECK (json_valid(body))
) STRICT;
INSERT INTO agent VALUES(1,'{"authority":{"generation":2,"term":77},"config":40,"told":39,"watchdog_opened":18446744073709551615,"armed":"armed","software_guards":true,"protected":{"1":"Lease","2":"Permit"},"voters":[3],"floors":{"1":{"generation":2,"number":5}},"journal":{"2":{"generation":2,"number":6}}}');
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
INSERT INTO voter VALUES(1,1,0,1,1,1,1,1);
CREATE TABLE snapshot (
    id INTEGER PRIMARY KEY REFERENCES voter (id) ON DELETE CASCADE,
    body BLOB NOT NULL
) STRICT;
INSERT INTO snapshot VALUES(1,X'01010103010203000000000d74686520626567696e6e696e67');
CREATE TABLE log_entry (
    log_index INTEGER PRIMARY KEY,
    term INTEGER NOT NULL,
    payload BLOB NOT NULL
) STRICT;
INSERT INTO log_entry VALUES(2,1,X'01001e070707070707070707070707070707070707070707070707070707070707');
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
INSERT INTO ledger VALUES(0,1,0,5,1,NULL,'started','{"index":1}');
INSERT INTO ledger VALUES(0,2,1,6,2,9,'started','{"index":2}');
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
COMMIT;
