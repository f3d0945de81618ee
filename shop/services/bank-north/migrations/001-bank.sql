-- One bank's books. The other bank runs the same program on books of its own.

CREATE TABLE accounts (
    name    TEXT PRIMARY KEY,
    balance INTEGER NOT NULL CHECK (balance >= 0) -- cents
);

-- Transfers that leave this bank, named by their sagas. A refused one is here, too, so that it can be seen.
CREATE TABLE transfers (
    id           TEXT PRIMARY KEY,
    from_account TEXT NOT NULL,
    to_account   TEXT NOT NULL,
    amount       INTEGER NOT NULL CHECK (amount > 0),
    status       TEXT NOT NULL CHECK (status IN ('pending', 'done', 'cancelled')),
    reason       TEXT -- why it was cancelled
);

-- Money that has come from the other bank, named by the other bank's sagas.
CREATE TABLE deposits (
    id      TEXT PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (name),
    amount  INTEGER NOT NULL CHECK (amount > 0)
);

-- The seed: a001 to a200 with 1,000.00 each.
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 200)
INSERT INTO accounts (name, balance) SELECT printf('a%03d', n), 100000 FROM number;
