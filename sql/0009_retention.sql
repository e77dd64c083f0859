-- no transaction
-- phase: expand
-- Finds what is past its time, and the addresses an account signed in from. Built beside running writes, which no
-- statement here locks out.
create index concurrently if not exists sessions_ended_idx on sessions ((least(revoked_at, expires_at)));

create index concurrently if not exists sessions_user_created_idx on sessions (user_id, created_at);

create index concurrently if not exists refresh_tokens_expires_idx on refresh_tokens (expires_at);

create index concurrently if not exists notifications_read_idx on notifications (read_at) where read_at is not null;
