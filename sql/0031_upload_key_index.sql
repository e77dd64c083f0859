-- no transaction
-- phase: expand
-- For the sweep, which looks for the owner of each object. Only attachments that are being verified have one.
create unique index concurrently if not exists attachments_upload_key_once on attachments (upload_key)
  where upload_key is not null;
