-- no transaction
-- phase: expand
-- Counts attachments and their bytes for operators, once a minute, without reading the rows, once autovacuum has marked
-- their pages: of a million, 30 MB in place of 220.
create index concurrently if not exists attachments_ready_size_idx on attachments (size)
  where state = 'ready';
