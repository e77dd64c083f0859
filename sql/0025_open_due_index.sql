-- no transaction
-- phase: expand
-- Open tasks of a project by due time: how many are overdue, and when the next one will be, without reading the tasks
-- that were completed in time. A task without a due time, or one that is done, has no entry. Statistics read it.
create index concurrently if not exists tasks_project_open_due_idx on tasks (project_id, due_at)
  where due_at is not null and status in ('todo', 'in_progress');
