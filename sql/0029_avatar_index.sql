-- no transaction
-- phase: expand
-- Finds the owner of a picture, for the sweep of the storage. Built beside running writes.
create unique index concurrently if not exists users_avatar_key_once on users (avatar_key)
  where avatar_key is not null;
