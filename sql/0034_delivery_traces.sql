-- phase: expand
-- `traceparent` of what made a delivery, where that is traced, so that its job belongs to the same trace. A column without a
-- default: no row is rewritten, and the lock is held for the change of the catalog alone.
alter table deliveries add column traceparent text;
