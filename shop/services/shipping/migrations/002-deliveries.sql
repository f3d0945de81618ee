-- What the carriers said last of each parcel. A row is written with its shipment; what is yet to be asked is what is `unbooked`.

CREATE TABLE deliveries (
    tracking TEXT PRIMARY KEY REFERENCES shipments (tracking),
    pieces   INTEGER NOT NULL,
    status   TEXT NOT NULL DEFAULT 'unbooked', -- then booked, picked_up, in_transit, out_for_delivery, delivered; or refused
    asked_ms INTEGER NOT NULL DEFAULT 0,       -- the last time that asking failed: those go to the end of the line
    booked   INTEGER UNIQUE,                   -- counts bookings in their order
    carrier  TEXT,
    earliest TEXT,
    latest   TEXT,
    sequence INTEGER NOT NULL DEFAULT 0,       -- the carriers' last event that is known
    place    TEXT,
    as_of    TEXT                              -- when the carriers last said something
);

CREATE INDEX deliveries_unbooked ON deliveries (asked_ms) WHERE status = 'unbooked';
CREATE INDEX deliveries_moving ON deliveries (booked)
    WHERE status IN ('booked', 'picked_up', 'in_transit', 'out_for_delivery');

INSERT INTO deliveries (tracking, pieces)
SELECT tracking, (SELECT SUM(quantity) FROM shipment_items WHERE shipment_id = shipments.id) FROM shipments;

-- Which instance asks the carriers. One row.
CREATE TABLE courier (
    only     INTEGER PRIMARY KEY CHECK (only = 1),
    holder   TEXT NOT NULL,
    until_ms INTEGER NOT NULL
);

INSERT INTO courier (only, holder, until_ms) VALUES (1, '', 0);
