-- A store as version 2 wrote it, dumped as SQL. Never edited.
PRAGMA application_id = 1332634732;
PRAGMA user_version = 2;
CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL
) STRICT;

CREATE TABLE record (
  position INTEGER PRIMARY KEY,
  subject TEXT NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE INDEX record_subject ON record (subject);

CREATE TABLE state_row (
  tab INTEGER NOT NULL,
  key TEXT NOT NULL,
  state TEXT NOT NULL,
  name TEXT NOT NULL,
  detail TEXT NOT NULL,
  wake_at INTEGER,
  updated_at INTEGER NOT NULL,
  body BLOB NOT NULL,
  PRIMARY KEY (tab, key)
) STRICT;
CREATE INDEX state_row_awake ON state_row (tab, key, wake_at) WHERE wake_at IS NOT NULL;
-- Only sagas (table 1) are listed by state and by name; the other tables save the upkeep.
CREATE INDEX state_row_state ON state_row (state, key) WHERE tab = 1;
CREATE INDEX state_row_name ON state_row (name, key) WHERE tab = 1;

-- rest: how many events follow this one that were appended with it.
CREATE TABLE event (
  position INTEGER PRIMARY KEY,
  stream TEXT NOT NULL,
  revision INTEGER NOT NULL,
  rest INTEGER NOT NULL,
  family TEXT NOT NULL,
  id TEXT NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX event_stream ON event (stream, revision);
CREATE UNIQUE INDEX event_id ON event (id);
CREATE INDEX event_family ON event (family, position);

CREATE TABLE row_count (
  tab INTEGER PRIMARY KEY,
  n INTEGER NOT NULL
) STRICT;

INSERT INTO meta VALUES (1, 3);
INSERT INTO record VALUES (1, 'k1', 'k', 3, X'6f6e65'), (2, 'k1', 'k', 3, X'74776f');
INSERT INTO state_row VALUES
  (1, 'k1', 'running', 'name-of-running', 'd', 1700000000000, 7, X'626f6479206f6e65'),
  (1, 'k2', 'done', 'name-of-done', 'd', NULL, 7, X'626f64792074776f'),
  (4, 'k1', 'other', 'table', '', NULL, 7, X'');
INSERT INTO event VALUES
  (1, 'order-1', 0, 1, 'order', 'a', 'happened', 5, X'7b7d'),
  (2, 'order-1', 1, 0, 'order', 'b', 'happened', 5, X'7b7d');
INSERT INTO row_count VALUES (1, 2), (4, 1);
CREATE TRIGGER state_row_more AFTER INSERT ON state_row BEGIN
  INSERT INTO row_count VALUES (NEW.tab, 1) ON CONFLICT (tab) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER state_row_less AFTER DELETE ON state_row BEGIN
  UPDATE row_count SET n = n - 1 WHERE tab = OLD.tab;
END;
