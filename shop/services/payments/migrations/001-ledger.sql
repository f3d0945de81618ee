-- Wallets, charges and the ledger under both. Amounts are whole cents. The same text runs on SQLite and PostgreSQL.

CREATE TABLE wallets (
    owner   TEXT PRIMARY KEY,
    balance BIGINT NOT NULL CHECK (balance >= 0)
);

-- One per order: named by the saga, so that a lost answer can be asked for again.
CREATE TABLE charges (
    id       TEXT PRIMARY KEY,
    customer TEXT NOT NULL,
    amount   BIGINT NOT NULL CHECK (amount > 0),
    status   TEXT NOT NULL CHECK (status IN ('charged', 'refunded'))
);

-- Double entry: a movement is two rows whose amounts add up to nothing. Money is never made or lost, only moved
-- between accounts: 'world' (where deposits come from), 'shop' (what has been earned) and 'wallet:<owner>'.
CREATE TABLE entries (
    movement TEXT NOT NULL, -- deposit:<id>, charge:<saga>, refund:<saga>
    account  TEXT NOT NULL,
    amount   BIGINT NOT NULL,
    at_ms    BIGINT NOT NULL,
    PRIMARY KEY (movement, account)
);
CREATE INDEX entries_by_account ON entries (account);
