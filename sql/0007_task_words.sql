-- phase: expand
-- What tasks are found and ordered by is computed by the program (model/text-form.ts): SQL can neither fold text nor
-- cut words out of languages without spaces. Takes the table's lock for an instant; indexes follow in 0008. Rows
-- without `words` are old or were written by the version before: the worker adds them, searches fall back meanwhile.

alter table tasks
  -- The folding of the title: its order.
  add column title_key text collate "C",
  -- Folded words and tags, each behind the end of the project's id: a search reads only entries of the projects it
  -- covers, not those of all.
  add column words tsvector,
  -- The version whose text `words` and `title_key` are of.
  add column words_version bigint;

create function forget_task_words() returns trigger language plpgsql as $$
begin
  new.words := null;
  new.title_key := null;
  return new;
end $$;

-- A server of the version before changes text without its words.
create trigger tasks_forget_words
  before update of title, description, tags, project_id on tasks
  for each row
  when (
    new.words is not null and new.words_version is not distinct from old.words_version
    and (old.title, old.description, old.tags, old.project_id)
      is distinct from (new.title, new.description, new.tags, new.project_id))
  execute function forget_task_words();
