-- phase: expand
-- Accounts without a password (made by an administrator, or with another way to sign in), and the folded name by which
-- people are searched. `name_key` counts only while `name_key_of` is the name, so that a server of the previous version,
-- which changes the name alone, leaves no wrong key behind: the name is then compared in lower case until a worker
-- folds it. Three changes of the catalog under an exclusive lock on `users`, without a rewrite or a scan.
alter table users
  alter column password_hash drop not null,
  add column name_key text collate "C",
  add column name_key_of text;
