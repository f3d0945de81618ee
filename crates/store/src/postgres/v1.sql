-- Schema version 1, the same logical schema as SQLite's. Never edited: a change is a new file and a new entry in
-- server.rs. Keys sort by bytes (COLLATE "C"), as they do in SQLite.
CREATE SCHEMA ondol;

CREATE TABLE ondol.meta (
  id integer PRIMARY KEY CHECK (id = 1),
  version bigint NOT NULL,
  epoch bigint NOT NULL,
  session bigint NOT NULL
);
INSERT INTO ondol.meta VALUES (1, 0, 0, 0);

CREATE TABLE ondol.record (
  position bigint PRIMARY KEY,
  subject text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  at bigint NOT NULL,
  body bytea NOT NULL
);
CREATE INDEX record_subject ON ondol.record (subject, position);

CREATE TABLE ondol.state_row (
  tab smallint NOT NULL,
  key text COLLATE "C" NOT NULL,
  state text NOT NULL,
  name text NOT NULL,
  detail text NOT NULL,
  wake_at bigint,
  updated_at bigint NOT NULL,
  body bytea NOT NULL,
  PRIMARY KEY (tab, key)
);
CREATE INDEX state_row_awake ON ondol.state_row (tab, key, wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX state_row_state ON ondol.state_row (state, key) WHERE tab = 1;
CREATE INDEX state_row_name ON ondol.state_row (name, key) WHERE tab = 1;

CREATE TABLE ondol.event (
  position bigint PRIMARY KEY,
  stream text COLLATE "C" NOT NULL,
  revision bigint NOT NULL,
  rest bigint NOT NULL,
  family text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  kind text NOT NULL,
  at bigint NOT NULL,
  body bytea NOT NULL
);
CREATE UNIQUE INDEX event_stream ON ondol.event (stream, revision);
CREATE UNIQUE INDEX event_id ON ondol.event (id);
CREATE INDEX event_family ON ondol.event (family, position);
