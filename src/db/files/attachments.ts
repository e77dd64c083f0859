// Rows of attachments. An unfinished upload has a row before its object exists; only `ready` ones are shown. Every write
// to one that is shown locks its task first.
import type { Attachment } from '../../model/attachment.ts'
import { offsetOf, type Slice } from '../../model/page.ts'
import type { Queryable, Tx } from '../client.ts'

export type AttachmentState = 'uploading' | 'waiting' | 'verifying' | 'ready'

/** An attachment with what its row keeps beside the fields that are shown. */
export interface StoredAttachment {
  attachment: Attachment
  state: AttachmentState
  storageKey: string
  /** Whether an unfinished upload has passed its time. */
  isExpired: boolean
}

type Flat = Attachment & Omit<StoredAttachment, 'attachment'>

const shown = (sql: Queryable) => sql`
  a.id, a.task_id as "taskId", a.filename, a.content_type as "contentType", a.size, encode(a.sha256, 'hex') as sha256,
  a.uploader_id as "uploaderId", a.created_at as "createdAt"`

const columns = (sql: Queryable) => sql`
  ${shown(sql)}, a.state, a.storage_key as "storageKey", coalesce(a.expires_at < now(), false) as "isExpired"`

const toStored = ({ state, storageKey, isExpired, ...attachment }: Flat): StoredAttachment => ({
  attachment,
  state,
  storageKey,
  isExpired,
})

/** Hours for which an expired direct upload is remembered, to answer that it has expired. Its bytes count no more. */
const rememberedHours = 24

/**
 * Locks what a user has stored and returns its bytes, unfinished uploads included. Until the transaction ends no other
 * upload of the user is reserved.
 */
export const lockStoredBytes = async (tx: Tx, userId: string): Promise<number> => {
  await tx`select pg_advisory_xact_lock(hashtextextended(${`files of ${userId}`}, 0))`
  const [row] = await tx<{ bytes: number }[]>`
    select coalesce(sum(size), 0)::bigint as bytes from attachments
    where uploader_id = ${userId} and not (state = 'waiting' and expires_at < now())`
  return row!.bytes
}

export interface NewUpload extends Omit<Attachment, 'createdAt' | 'uploaderId'> {
  uploaderId: string
  state: 'uploading' | 'waiting'
  storageKey: string
  /** Seconds after which it counts as abandoned. */
  validSeconds: number
}

/** 404 where the task is gone. */
export const insertUpload = async (tx: Tx, upload: NewUpload): Promise<Attachment> => {
  const { id, taskId, uploaderId, state, storageKey, filename, contentType, size, sha256, validSeconds } =
    upload
  const [row] = await tx<Attachment[]>`
    with a as (
      insert into attachments (
        id, task_id, uploader_id, state, storage_key, filename, content_type, size, sha256, expires_at)
      values (
        ${id}, ${taskId}, ${uploaderId}, ${state}, ${storageKey}, ${filename}, ${contentType}, ${size},
        decode(${sha256}, 'hex'), now() + make_interval(secs => ${validSeconds}))
      returning *
    )
    select ${shown(tx)} from a`
  return row!
}

/**
 * Shows an upload from now on; null where it is no longer in that state. Its task must be locked.
 * @param verifiedKey the object that was verified; null also where the row names another one.
 */
export const completeUpload = async (
  tx: Tx,
  id: string,
  from: 'uploading' | 'verifying',
  contentType: string,
  verifiedKey: string | null = null,
): Promise<Attachment | null> => {
  const [row] = await tx<Attachment[]>`
    with a as (
      update attachments
      set state = 'ready', expires_at = null, content_type = ${contentType}, created_at = now(), upload_key = null
      where id = ${id} and state = ${from} and storage_key = coalesce(${verifiedKey}, storage_key)
      returning *
    )
    select ${shown(tx)} from a`
  return row ?? null
}

/** From `waiting` to `verifying`: the object is taken as stored. False where it is in another state. */
export const beginVerification = async (tx: Tx, id: string): Promise<boolean> => {
  const rows = await tx`
    update attachments set state = 'verifying', expires_at = null
    where id = ${id} and state = 'waiting'
    returning id`
  return rows.length > 0
}

/** The key that the client stores the object under; null where the row is in another state. */
export const selectUploadKey = async (sql: Queryable, id: string): Promise<string | null> => {
  const [row] = await sql<{ uploadKey: string }[]>`
    select coalesce(upload_key, storage_key) as "uploadKey" from attachments
    where id = ${id} and state = 'verifying'`
  return row?.uploadKey ?? null
}

/**
 * Names the copy that is going to be verified, before it is made. The copy of an earlier attempt is listed for deletion.
 * @returns false where the row is in another state.
 */
export const beginCopy = async (tx: Tx, id: string, copyKey: string): Promise<boolean> => {
  const rows = await tx`
    update attachments set upload_key = coalesce(upload_key, storage_key), storage_key = ${copyKey}
    where id = ${id} and state = 'verifying'
    returning id`
  return rows.length > 0
}

/** Null where there is none, in whatever state. */
export const selectAttachment = async (sql: Queryable, id: string): Promise<StoredAttachment | null> => {
  const [row] = await sql<Flat[]>`
    select ${columns(sql)} from attachments a where a.id = ${id}`
  return row ? toStored(row) : null
}

/** Sorted by createdAt, id; only those that are shown. One more than the limit where there are more. */
export const selectAttachments = (sql: Queryable, taskId: string, slice: Slice): Promise<Attachment[]> => {
  const [createdAt = null, id = null] = slice.after ?? []
  return sql<Attachment[]>`
    select ${shown(sql)}
    from attachments a
    where a.task_id = ${taskId} and a.state = 'ready'
      ${slice.after ? sql`and (a.created_at, a.id) > (${createdAt}, ${id})` : sql``}
    order by a.created_at, a.id
    limit ${slice.limit + 1} offset ${offsetOf(slice)}`
}

export const countAttachments = async (sql: Queryable, taskId: string): Promise<number> => {
  const [row] = await sql<{ count: number }[]>`
    select count(*) as count from attachments where task_id = ${taskId} and state = 'ready'`
  return row!.count
}

/** Deletes the row, which lists its object for deletion. False where there is none in one of these states. */
export const deleteAttachment = async (
  tx: Tx,
  id: string,
  states: readonly AttachmentState[],
): Promise<boolean> => {
  const rows = await tx`
    delete from attachments where id = ${id} and state = any(${[...states]}::text[]) returning id`
  return rows.length > 0
}

/** Whether a row owns this object. */
export const isOwned = async (sql: Queryable, storageKey: string): Promise<boolean> => {
  const rows = await sql`select from attachments where storage_key = ${storageKey}`
  return rows.length > 0
}

/** Deletes unfinished uploads that have passed their time; those in use by another transaction are left. Returns how many. */
export const deleteExpiredUploads = async (tx: Tx, limit: number): Promise<number> => {
  const rows = await tx`
    delete from attachments where id in (
      select id from attachments
      where expires_at < now()
        and (state <> 'waiting' or expires_at < now() - make_interval(hours => ${rememberedHours}))
      order by expires_at limit ${limit} for update skip locked
    )
    returning id`
  return rows.length
}
