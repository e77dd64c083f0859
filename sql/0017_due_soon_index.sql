-- no transaction
-- phase: expand
-- The candidates of the reminders before a due time, as tasks_overdue_idx holds those of the overdue notifications.
-- Waits for transactions that are older and blocks nothing meanwhile.
create index concurrently if not exists tasks_due_soon_idx on tasks (due_at)
  where due_at is not null and status in ('todo', 'in_progress') and due_soon_rev < due_rev;
