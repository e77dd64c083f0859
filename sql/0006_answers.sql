-- phase: expand
-- Answers kept for repeats: what a caller must be able to read to be answered again, and where long texts were cut
-- out of the body. Adds nullable columns without rewriting the table; the previous version ignores them. It refuses to
-- repeat answers of this version (422), because their fingerprint is of the JSON value and not of the bytes.
alter table idempotency_keys
  add column subject jsonb,
  add column texts jsonb;
