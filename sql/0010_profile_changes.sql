-- phase: expand
-- The consumer `notifications` of the previous version also appends `member.updated` for profile changes. In this
-- version the consumer `profile-changes` does that, with positions of its own. A shard's profile changes are thus
-- appended by one consumer or the other, and both versions may run at once. The triggers keep this exact:
-- `profile-changes` starts where `notifications` is, and each move of `notifications` by a previous worker moves it as
-- well. Takes the table's lock for an instant (32 rows); workers wait for it and continue. Drop the triggers, their
-- functions and `moves` once no previous worker can run.

-- Workers of this version count their moves; a move that does not count comes from a previous worker.
alter table consumer_cursor add column moves bigint not null default 0;

create function install_profile_changes() returns trigger language plpgsql as $$
begin
  insert into consumer_cursor (consumer, shard, seq) values ('profile-changes', new.shard, new.seq)
  on conflict do nothing;
  return null;
end $$;

-- A previous worker may move `notifications` only if `profile-changes` has neither handled one of the profile changes
-- it passes (it would be appended twice) nor still has one before it to handle (it would be missed). The worker takes
-- the error for an interruption: it rolls back, logs nothing as dead and tries again within a second.
create function move_profile_changes() returns trigger language plpgsql as $$
declare
  handled bigint;
begin
  select seq into strict handled from consumer_cursor
  where consumer = 'profile-changes' and shard = new.shard
  for update;
  if exists (
    select from feed
    where shard = new.shard and type = 'user.updated' and changes ?| array['name', 'avatarUrl']
      and seq > least(handled, old.seq)
      and seq <= case when handled < old.seq then old.seq else least(handled, new.seq) end
  ) then
    raise exception 'profile changes of shard % are handled up to %, notifications up to %: a newer worker has to continue',
      new.shard, handled, old.seq
      using errcode = 'lock_not_available';
  end if;
  update consumer_cursor set seq = greatest(handled, new.seq)
  where consumer = 'profile-changes' and shard = new.shard;
  return null;
end $$;

create trigger consumer_cursor_install_profile_changes
  after insert on consumer_cursor
  for each row
  when (new.consumer = 'notifications')
  execute function install_profile_changes();

create trigger consumer_cursor_move_profile_changes
  after update of seq on consumer_cursor
  for each row
  when (new.consumer = 'notifications' and new.moves = old.moves)
  execute function move_profile_changes();

insert into consumer_cursor (consumer, shard, seq)
select 'profile-changes', shard, seq from consumer_cursor where consumer = 'notifications';
