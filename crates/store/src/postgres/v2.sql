-- Schema version 2: counts of rows, flows, types of events, and deliveries that wait.
-- Never edited: a change is a new file and a new entry in server.rs.

-- How many rows each table has, kept by the database with every change, so that nobody ever counts them.
CREATE TABLE ondol.row_count (
  tab smallint PRIMARY KEY,
  n bigint NOT NULL
);
INSERT INTO ondol.row_count SELECT tab, count(*) FROM ondol.state_row GROUP BY tab;

-- Once for a statement. Of an upsert `changed` holds the rows that were really inserted.
CREATE FUNCTION ondol.count_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  sign integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
  INSERT INTO ondol.row_count AS held (tab, n) SELECT tab, sign * count(*) FROM changed GROUP BY tab
    ON CONFLICT (tab) DO UPDATE SET n = held.n + excluded.n;
  RETURN NULL;
END $$;
CREATE TRIGGER state_row_more AFTER INSERT ON ondol.state_row REFERENCING NEW TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION ondol.count_rows();
CREATE TRIGGER state_row_less AFTER DELETE ON ondol.state_row REFERENCING OLD TABLE AS changed
  FOR EACH STATEMENT EXECUTE FUNCTION ondol.count_rows();

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

-- Deliveries (table 7) may be a million: what is due, and lists of one subscription by state.
CREATE INDEX state_row_due ON ondol.state_row (name, wake_at, key) WHERE tab = 7 AND wake_at IS NOT NULL;
CREATE INDEX state_row_delivery ON ondol.state_row (name, state, key) WHERE tab = 7;
