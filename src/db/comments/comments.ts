// Rows of comments. Every write locks the comment's task first: that lock orders the writes to its comments, too.
import type { Comment } from '../../model/comment.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import type { PublicUser } from '../../model/user.ts'
import type { Queryable, Tx } from '../client.ts'
import { avatarUrl } from '../users/avatar-url.ts'
import { userHead } from '../log/scope-heads.ts'

/** A comment with what its row keeps beside the fields that are shown. */
export interface StoredComment {
  comment: Comment
  /** The version at which a writable field last changed; If-Match is compared with it. */
  contentVersion: number
}

type Flat = Comment & { contentVersion: number }

const columns = (sql: Queryable) => sql`
  c.id, c.task_id as "taskId",
  case when u.id is not null then json_build_object('id', u.id, 'name', u.name, 'avatarUrl', ${avatarUrl(sql, 'u')}) end as author,
  c.body, c.mentions, c.version, c.created_at as "createdAt", c.updated_at as "updatedAt"`

const toStored = ({ contentVersion, ...comment }: Flat): StoredComment => ({ comment, contentVersion })

/** The public shape of users, for comments they are about to write. A deleted user is absent. */
export const selectAuthors = async (sql: Queryable, ids: string[]): Promise<PublicUser[]> => sql<
  PublicUser[]
>`
  select u.id, u.name, ${avatarUrl(sql, 'u')} as "avatarUrl" from users u where u.id = any(${ids}::uuid[])`

/** Inserts comments of locked tasks as they are given. */
export const insertComments = async (tx: Tx, comments: StoredComment[]): Promise<void> => {
  const rows = comments.map(({ comment: { author, ...comment }, contentVersion }) => ({
    ...comment,
    authorId: author?.id ?? null,
    contentVersion,
  }))
  await tx`
    insert into comments (id, task_id, author_id, body, mentions, version, content_version, created_at, updated_at)
    select i.id, i."taskId", i."authorId", i.body, i.mentions, i.version, i."contentVersion", i."createdAt", i."updatedAt"
    from json_to_recordset(${JSON.stringify(rows)}::text::json) as i (
      id uuid, "taskId" uuid, "authorId" uuid, body text, mentions uuid[], version bigint, "contentVersion" bigint,
      "createdAt" timestamptz(3), "updatedAt" timestamptz(3))`
}

/** The task of a comment, which never changes; null where there is no such comment. */
export const selectTaskIdOfComment = async (sql: Queryable, id: string): Promise<string | null> => {
  const [row] = await sql<{ taskId: string }[]>`
    select task_id as "taskId" from comments where id = ${id}`
  return row?.taskId ?? null
}

/** Null where there is no such comment. Before a write: lock its task first. */
export const selectComment = async (sql: Queryable, id: string): Promise<StoredComment | null> => {
  const [row] = await sql<Flat[]>`
    select ${columns(sql)}, c.content_version as "contentVersion"
    from comments c
    left join users u on u.id = c.author_id
    where c.id = ${id}`
  return row ? toStored(row) : null
}

/** Sorted by createdAt, id. One more than the limit where there are more. */
export const selectComments = async (
  sql: Queryable,
  taskId: string,
  slice: Slice,
): Promise<(Comment & { userHead: string })[]> => {
  const [createdAt = null, id = null] = slice.after ?? []
  return sql`
    select ${columns(sql)}, ${userHead(sql, sql`c.author_id`)}
    from comments c
    left join users u on u.id = c.author_id
    where c.task_id = ${taskId}
      ${slice.after ? sql`and (c.created_at, c.id) > (${createdAt}, ${id})` : sql``}
    order by c.created_at, c.id
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
}

export const countComments = async (sql: Queryable, taskId: string): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from comments where task_id = ${taskId}`
  return row!.count
}

/** Writes the content of a comment as it is given. Its task must be locked. */
export const updateComment = async (tx: Tx, { comment, contentVersion }: StoredComment): Promise<void> => {
  await tx`
    update comments set
      body = ${comment.body}, mentions = ${comment.mentions}::uuid[], version = ${comment.version},
      content_version = ${contentVersion}, updated_at = ${comment.updatedAt}
    where id = ${comment.id}`
}

/** Its task must be locked. */
export const deleteComment = async (tx: Tx, id: string): Promise<void> => {
  await tx`delete from comments where id = ${id}`
}

/** Takes a user out of the comments it wrote on these locked tasks; returns them as they then are, by id. */
export const releaseComments = (tx: Tx, userId: string, taskIds: string[]): Promise<Comment[]> => tx<
  Comment[]
>`
  with c as (
    update comments set author_id = null, version = version + 1, updated_at = now()
    where author_id = ${userId} and task_id = any(${taskIds}::uuid[])
    returning *
  )
  select ${columns(tx)} from c left join users u on u.id = c.author_id
  order by c.id`

/** By comment, the users who wrote an earlier comment on its task. A deleted comment is absent. */
export type EarlierAuthors = Map<string, string[]>

/**
 * Each author of a task is found by one probe of comments_task_author_idx, from the one before: a task has few authors
 * and may have thousands of comments, which `select distinct` would read for every new one. Offset 0 keeps the last
 * condition a probe, too: joined freely, all earlier comments are read and hashed.
 */
export const selectEarlierAuthors = async (sql: Queryable, ids: string[]): Promise<EarlierAuthors> => {
  const rows = await sql<{ id: string; authors: string[] }[]>`
    select c.id, array(
      with recursive author as (
        (
          select f.author_id as id from comments f
          where f.task_id = c.task_id and f.author_id is not null
          order by f.author_id limit 1
        )
        union all
        select (
          select n.author_id from comments n
          where n.task_id = c.task_id and n.author_id > author.id
          order by n.author_id limit 1
        )
        from author where author.id is not null
      )
      select author.id from author
      where author.id is not null and exists (
        select from comments e
        where e.task_id = c.task_id and e.author_id = author.id and (e.created_at, e.id) < (c.created_at, c.id)
        offset 0)
    ) as authors
    from comments c
    where c.id = any(${ids}::uuid[])`
  return new Map(rows.map(({ id, authors }) => [id, authors]))
}
