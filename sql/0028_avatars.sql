-- phase: expand
-- Pictures of people: the key of the object and its media type. Two changes of the catalog under an exclusive lock on
-- `users`, without a rewrite or a scan. A server of the previous version shows no picture and changes none.
alter table users
  add column avatar_key text,
  add column avatar_type text;

-- In the database, so that no path that replaces a picture or deletes an account forgets the object.
create function list_deleted_avatar() returns trigger language plpgsql as $$
begin
  insert into file_deletions (key) values (old.avatar_key) on conflict do nothing;
  return null;
end $$;

create trigger users_list_replaced_avatar
  after update of avatar_key on users
  for each row
  when (old.avatar_key is distinct from new.avatar_key and old.avatar_key is not null)
  execute function list_deleted_avatar();

create trigger users_list_deleted_avatar
  after delete on users
  for each row
  when (old.avatar_key is not null)
  execute function list_deleted_avatar();
