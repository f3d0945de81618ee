-- When each last changed, in milliseconds since 1970; of those that there were nothing is known.

ALTER TABLE transfers ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE deposits ADD COLUMN at_ms INTEGER NOT NULL DEFAULT 0;
