-- A store as version 3 wrote it, dumped as SQL. Never edited.
PRAGMA application_id = 1332634732;
PRAGMA user_version = 3;
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
, correlation TEXT) STRICT;
INSERT INTO "event" VALUES(1,'order-1',0,0,'order','a','order.placed.v1',5,X'7B7D',NULL);
INSERT INTO "event" VALUES(2,'topic-user.registered.v1',0,0,'topic','b','user.registered.v1',6,X'7B7D','flow-1');
CREATE TABLE kind (
  kind TEXT PRIMARY KEY,
  events INTEGER NOT NULL,
  last_position INTEGER NOT NULL,
  last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "kind" VALUES('order.placed.v1',1,1,5);
INSERT INTO "kind" VALUES('user.registered.v1',1,2,6);
CREATE TABLE meta (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  epoch INTEGER NOT NULL
) STRICT;
INSERT INTO "meta" VALUES(1,3);
CREATE TABLE record (
  position INTEGER PRIMARY KEY,
  subject TEXT NOT NULL,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;
INSERT INTO "record" VALUES(1,'k1','k',3,X'6F6E65');
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
INSERT INTO "state_row" VALUES(1,'k1','running','name-of-running','d',1700000000000,7,X'626F6479206F6E65');
INSERT INTO "state_row" VALUES(7,'points.orders k','parked','points.orders','',NULL,7,X'70');
INSERT INTO "state_row" VALUES(7,'points.orders l','retrying','points.orders','',1700000000000,7,X'72');
CREATE INDEX record_subject ON record (subject);
CREATE INDEX state_row_awake ON state_row (tab, key, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX state_row_state ON state_row (state, key) WHERE tab = 1;
CREATE INDEX state_row_name ON state_row (name, key) WHERE tab = 1;
CREATE UNIQUE INDEX event_stream ON event (stream, revision);
CREATE UNIQUE INDEX event_id ON event (id);
CREATE INDEX event_family ON event (family, position);
CREATE INDEX event_correlation ON event (correlation, position) WHERE correlation IS NOT NULL;
CREATE INDEX event_kind ON event (kind, position);
CREATE INDEX state_row_delivery ON state_row (name, state, key) WHERE tab = 7;
CREATE TABLE row_count (
  tab INTEGER PRIMARY KEY,
  n INTEGER NOT NULL
) STRICT;
INSERT INTO "row_count" VALUES(1,1);
INSERT INTO "row_count" VALUES(7,2);
CREATE TRIGGER state_row_more AFTER INSERT ON state_row BEGIN
  INSERT INTO row_count VALUES (NEW.tab, 1) ON CONFLICT (tab) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER state_row_less AFTER DELETE ON state_row BEGIN
  UPDATE row_count SET n = n - 1 WHERE tab = OLD.tab;
END;
