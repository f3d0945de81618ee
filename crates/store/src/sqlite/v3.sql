-- Schema version 3: flows, types of events, and deliveries that wait.
-- Never edited: a change is a new file and a new entry in schema.rs.

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

-- Deliveries (table 7) may be a million: lists of one subscription by state.
CREATE INDEX state_row_delivery ON state_row (name, state, key) WHERE tab = 7;
