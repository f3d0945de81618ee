-- Schema version 2: counts of rows, flows, types of events, and deliveries that wait.
-- Never edited: a change is a new file and a new entry in schema.rs.

-- How many rows each table has, kept by the database with every change, so that nobody ever counts them.
CREATE TABLE row_count (
  tab INTEGER PRIMARY KEY,
  n INTEGER NOT NULL
) STRICT;
INSERT INTO row_count SELECT tab, count(*) FROM state_row GROUP BY tab;
-- Of an upsert that finds its row only the update's triggers run, and there are none.
CREATE TRIGGER state_row_more AFTER INSERT ON state_row BEGIN
  INSERT INTO row_count VALUES (NEW.tab, 1) ON CONFLICT (tab) DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER state_row_less AFTER DELETE ON state_row BEGIN
  UPDATE row_count SET n = n - 1 WHERE tab = OLD.tab;
END;

-- The flow of an event, so that a flow is found.
ALTER TABLE event ADD COLUMN correlation TEXT;
UPDATE event SET correlation = substr(json_extract(CAST(body AS TEXT), '$.correlationid'), 1, 512)
  WHERE json_valid(CAST(body AS TEXT)) AND json_extract(CAST(body AS TEXT), '$.correlationid') IS NOT NULL;
CREATE INDEX event_correlation ON event (correlation, position) WHERE correlation IS NOT NULL;
CREATE INDEX event_kind ON event (kind, position);

-- How many events have each type, kept in step by every commit.
CREATE TABLE kind (
  kind TEXT PRIMARY KEY,
  events INTEGER NOT NULL,
  last_position INTEGER NOT NULL,
  last_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO kind SELECT last.kind, last.events, last.position, event.at
  FROM (SELECT kind, count(*) AS events, max(position) AS position FROM event GROUP BY kind) AS last
  JOIN event USING (position);

-- Deliveries (table 7) may be a million: what is due, and lists of one subscription by state.
CREATE INDEX state_row_due ON state_row (name, wake_at, key) WHERE tab = 7 AND wake_at IS NOT NULL;
CREATE INDEX state_row_delivery ON state_row (name, state, key) WHERE tab = 7;
