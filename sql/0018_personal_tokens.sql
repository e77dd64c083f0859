-- phase: expand
-- Personal access tokens: long-lived credentials with scopes, known here by their SHA-256 alone. A revoked one stays for
-- the retention of sessions, so that its holder learns that it was revoked. Adds a table only; the foreign key takes a
-- brief lock on users that lets reads and writes pass.
create table personal_tokens (
  id uuid constraint personal_tokens_pkey primary key,
  user_id uuid not null constraint personal_tokens_user_fkey references users on delete cascade,
  name text not null,
  token_hash bytea not null constraint personal_tokens_hash_key unique,
  scopes text[] not null,
  -- Null: it does not expire.
  expires_at timestamptz(3),
  -- Written at most once a minute.
  last_used_at timestamptz(3),
  revoked_at timestamptz(3),
  created_at timestamptz(3) not null default now(),
  constraint personal_tokens_scopes_are_known check (scopes <@ array['read', 'write'] and cardinality(scopes) > 0)
);

create index personal_tokens_user_idx on personal_tokens (user_id, created_at, id) where revoked_at is null;

-- What maintenance deletes, oldest first.
create index personal_tokens_ended_idx on personal_tokens ((least(revoked_at, expires_at)));
