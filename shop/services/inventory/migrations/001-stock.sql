-- Stock and what is reserved of it. Each rule that must never break is a CHECK, too: a bug is an error, not a loss.

CREATE TABLE stock (
    product_id TEXT PRIMARY KEY,
    received   INTEGER NOT NULL,                                          -- seeded and restocked, ever
    on_hand    INTEGER NOT NULL CHECK (on_hand >= 0),                     -- in the warehouse
    reserved   INTEGER NOT NULL CHECK (reserved BETWEEN 0 AND on_hand),   -- of these, promised to orders
    shipped    INTEGER NOT NULL CHECK (shipped >= 0)                      -- gone to customers, ever
);

-- One per order, named by its saga: held, then released (the order failed) or deducted (it is on its way).
CREATE TABLE reservations (
    id     TEXT PRIMARY KEY,
    status TEXT NOT NULL CHECK (status IN ('held', 'released', 'deducted'))
);

CREATE TABLE reservation_items (
    reservation_id TEXT NOT NULL REFERENCES reservations (id),
    product_id     TEXT NOT NULL REFERENCES stock (product_id),
    quantity       INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (reservation_id, product_id)
);

-- The seed: p01 to p50, a thousand of each. The catalogue in products knows the same ids.
WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 50)
INSERT INTO stock (product_id, received, on_hand, reserved, shipped)
SELECT printf('p%02d', n), 1000, 1000, 0, 0 FROM number;
