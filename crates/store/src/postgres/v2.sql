-- Schema version 2: how many rows each table has, kept by the database with every change, so that nobody ever counts them.
-- Never edited: a change is a new file and a new entry in server.rs.
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
