-- Who may sign in, and their sessions. Sessions are rows here, not keys in Redis, so that losing Redis signs
-- nobody out; the row decides role and disabling, never what a token says.

create table users (
  id uuid constraint users_pkey primary key,
  email text not null constraint users_email_key unique,
  name text not null,
  role text not null default 'user',
  password_hash text not null,
  time_zone text not null default 'UTC',
  email_verified_at timestamptz(3),
  disabled_at timestamptz(3),
  created_at timestamptz(3) not null default now(),
  updated_at timestamptz(3) not null default now(),
  constraint users_role_is_known check (role in ('user', 'admin')),
  constraint users_email_is_lower_case check (email = lower(email))
);

-- Finds people by the beginning of their name, already in the order of the answer.
create index users_name_idx on users ((lower(name) collate "C"), id);

-- A session is one family of refresh tokens; revoking it kills the family and every access token made from it.
create table sessions (
  id uuid constraint sessions_pkey primary key,
  user_id uuid not null constraint sessions_user_fkey references users on delete cascade,
  user_agent text not null default '',
  ip text not null default '',
  created_at timestamptz(3) not null default now(),
  last_seen_at timestamptz(3) not null default now(),
  expires_at timestamptz(3) not null,
  revoked_at timestamptz(3)
);

create index sessions_user_idx on sessions (user_id) where revoked_at is null;

-- A token is spent once; its only successor is derived from it (HMAC), so a repeat within the grace period gets
-- the same one and a later repeat proves theft. Spent tokens stay, as hashes, to recognise that.
create table refresh_tokens (
  token_hash bytea constraint refresh_tokens_pkey primary key,
  session_id uuid not null constraint refresh_tokens_session_fkey references sessions on delete cascade,
  spent_at timestamptz(3),
  expires_at timestamptz(3) not null
);

create index refresh_tokens_session_idx on refresh_tokens (session_id);
