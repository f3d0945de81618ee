-- Schema version 3: flows, types of events, and deliveries that wait.
-- Never edited: a change is a new file and a new entry in server.rs.

-- The flow of an event, so that a flow is found.
ALTER TABLE ondol.event ADD COLUMN correlation text COLLATE "C";

-- A body that is no JSON has no correlation; a cast would end the whole upgrade.
CREATE FUNCTION pg_temp.correlation(body bytea) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
  RETURN left(convert_from(body, 'UTF8')::jsonb ->> 'correlationid', 512);
EXCEPTION WHEN data_exception THEN
  RETURN NULL;
END $$;
UPDATE ondol.event SET correlation = pg_temp.correlation(body) WHERE pg_temp.correlation(body) IS NOT NULL;
DROP FUNCTION pg_temp.correlation(bytea);
CREATE INDEX event_correlation ON ondol.event (correlation, position) WHERE correlation IS NOT NULL;
CREATE INDEX event_kind ON ondol.event (kind, position);

-- How many events have each type, kept in step by every commit.
CREATE TABLE ondol.kind (
  kind text COLLATE "C" PRIMARY KEY,
  events bigint NOT NULL,
  last_position bigint NOT NULL,
  last_at bigint NOT NULL
);
INSERT INTO ondol.kind SELECT last.kind, last.events, last.position, event.at
  FROM (SELECT kind, count(*) AS events, max(position) AS position FROM ondol.event GROUP BY kind) AS last
  JOIN ondol.event USING (position);

-- Deliveries (table 7) may be a million: lists of one subscription by state.
CREATE INDEX state_row_delivery ON ondol.state_row (name, state, key) WHERE tab = 7;
