-- no transaction
-- phase: expand
-- Built beside running writes, which no statement here locks out. document, its index and tasks_project_title_idx stay
-- for servers of the version before; a later migration drops them.

-- Each search reads the pending list in full: 256 kB instead of 4 MB.
create index concurrently if not exists tasks_words_idx on tasks using gin (words)
  with (gin_pending_list_limit = 256);

create index concurrently if not exists tasks_project_title_key_idx
  on tasks (project_id, (coalesce(title_key, lower(title)) collate "C"), id);

-- What the worker still has to do.
create index concurrently if not exists tasks_without_words_idx on tasks (id) where words is null;
