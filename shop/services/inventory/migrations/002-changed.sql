-- When a reservation last changed, in milliseconds since 1970; of those that there were nothing is known.

ALTER TABLE reservations ADD COLUMN changed_ms INTEGER NOT NULL DEFAULT 0;

-- The sums of a product, which are compared with its stock.
CREATE INDEX reservation_items_by_product ON reservation_items (product_id, reservation_id, quantity);
