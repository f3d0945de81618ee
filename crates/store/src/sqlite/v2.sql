-- Schema version 2: how many rows each table has, kept by the database with every change, so that nobody ever counts them.
-- Never edited: a change is a new file and a new entry in schema.rs.
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
