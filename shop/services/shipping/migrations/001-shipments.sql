-- Parcels that are on their way. One per order, named by its saga.

CREATE TABLE shipments (
    id         TEXT PRIMARY KEY,
    customer   TEXT NOT NULL,
    tracking   TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
);

CREATE TABLE shipment_items (
    shipment_id TEXT NOT NULL REFERENCES shipments (id),
    line        INTEGER NOT NULL,
    product_id  TEXT NOT NULL,
    quantity    INTEGER NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (shipment_id, line)
);
