// The change log as a type: the types of entries, their content, their audience (scope), their number (cursor), and the
// frame that sockets send.
import { shardCount, type Scope } from './scope.ts'
import { asciiJson } from './text.ts'

export const eventTypes = [
  'task.created',
  'task.updated',
  'task.deleted',
  'comment.created',
  'comment.updated',
  'comment.deleted',
  'attachment.added',
  'attachment.removed',
  'project.created',
  'project.updated',
  'project.deleted',
  'member.added',
  'member.updated',
  'member.removed',
  'share.added',
  'share.removed',
  'user.updated',
  'notification.created',
  'notification.read',
  'stats.updated',
  'access.granted',
  'access.revoked',
  'scope.refetch',
] as const
export type EventType = (typeof eventTypes)[number]

/** What every server process does when it admits the entry, before it publishes any entry after it. */
export type Control =
  /** End this person's subscriptions to the entry's scope. */
  | { kind: 'revoke'; userId: string }
  /** The project was deleted: end all subscriptions to the entry's scope. */
  | { kind: 'delete' }
  /** One session of the scope's user ended: drop its tokens, close its sockets (4403). */
  | { kind: 'session'; sessionId: string }
  /** One personal access token of the scope's user was revoked: drop it, close its sockets (4403). */
  | { kind: 'token'; tokenId: string }
  /**
   * All personal access tokens and all sessions of the scope's user ended, but for the session `except`: drop their
   * tokens, close their sockets (4403).
   */
  | { kind: 'sessions'; except: string | null }
  /** The scope's user was disabled or deleted: drop the tokens, close the sockets (4403). */
  | { kind: 'disabled' }
  /** The scope's user has another global role: drop the tokens, close the sockets (4010, clients reconnect). */
  | { kind: 'role' }

/**
 * The changed fields. A text of more than `maxChangeText` code units is replaced by `{length}`, in code units: the whole
 * value is in the frame, and in the row until it changes again.
 */
export type Changes = Record<string, { from: unknown; to: unknown }>

/** Longest text that `changes` contain and a stored response keeps, in code units. */
export const maxChangeText = 256

/** Whether a text is too long to be copied into `changes` or a stored response. */
export const isLongText = (text: string): boolean => text.length > maxChangeText

/** The same changes with `{length}` in the place of each long text. */
export const withoutLongTexts = (changes: Changes): Changes =>
  Object.fromEntries(
    Object.entries(changes).map(([field, { from, to }]) => [
      field,
      { from: lengthFor(from), to: lengthFor(to) },
    ]),
  )

const lengthFor = (value: unknown): unknown =>
  typeof value === 'string' && isLongText(value) ? { length: value.length } : value

/** An entry before it has a number. */
export interface Entry {
  scope: Scope
  /** Entries for servers only are of type `control` and have no frame. */
  type: EventType | 'control'
  /** The id of the changed entity; null only for `control`, `scope.refetch` and a read-all. */
  id: string | null
  /** The entity's version; where an entity has none, the entry's number is used. */
  version?: number
  /** The full current value, in the shape of the REST response. */
  data?: object
  /** Of an update: the names of the changed fields. */
  changed?: string[]
  actorId: string | null
  control?: Control
  changes?: Changes
}

/** An entry of the log. */
export interface LogEntry {
  shard: number
  seq: number
  /** When it was appended, RFC 3339. */
  at: string
  scope: Scope
  type: EventType | 'control'
  entityId: string | null
  version: number
  actorId: string | null
  op: string | null
  control: Control | null
  changes: Changes | null
  quiet: boolean
  /** Whether the write needed the right of admins in the project of the scope. */
  override: boolean
  /** The whole socket frame, ASCII JSON; null for entries that sockets do not send. */
  frame: string | null
  /** `traceparent` of what wrote it, where that is traced. The log does not keep it: absent from what is read there. */
  trace?: string | null
}

/** With more entries than this for one scope in one transaction all of them are quiet, followed by one `scope.refetch`. */
export const maxLoudEntries = 200

/** In a larger frame the largest text fields are left out and named in `omitted`. */
export const maxFrameBytes = 16 * 1024

/**
 * The part of the frame that is known before the append: all but scope, cursor, version and time, which the append
 * statement puts before it. Ends with the closing brace.
 */
export const encodeBody = (entry: Entry, op: string | null): string => {
  const body = asciiJson(bodyOf(entry, op, entry.data))
  return body.length <= maxFrameBytes ? body.slice(1) : asciiJson(slimBody(entry, op, body.length)).slice(1)
}

const bodyOf = (entry: Entry, op: string | null, data: object | undefined): Record<string, unknown> => ({
  type: entry.type,
  id: entry.id,
  ...(data !== undefined && { data }),
  ...(entry.changed && { changed: entry.changed }),
  actor: entry.actorId,
  ...(op !== null && { op }),
})

const slimBody = (entry: Entry, op: string | null, bytes: number): Record<string, unknown> => {
  const data: Record<string, unknown> = { ...entry.data }
  const texts = Object.entries(data)
    .filter((field): field is [string, string] => typeof field[1] === 'string')
    .map(([name, value]) => ({ name, bytes: asciiJson(value).length }))
    .sort((a, b) => b.bytes - a.bytes)
  const omitted: string[] = []
  for (const text of texts) {
    if (bytes <= maxFrameBytes) break
    delete data[text.name]
    omitted.push(text.name)
    bytes -= text.bytes
  }
  return { ...bodyOf(entry, op, data), omitted }
}

/** A position in one shard of the log: all entries up to `seq` are before it. */
export interface Position {
  epoch: string
  shard: number
  seq: number
}

/** The cursor of a position; opaque to clients. */
export const formatCursor = ({ epoch, shard, seq }: Position): string => `${epoch}.${shard}.${seq}`

/** The position of a cursor; null if the text is not a cursor. */
export const parseCursor = (text: string): Position | null => {
  const match = /^([a-z0-9]{4,32})\.(0|[1-9]\d?)\.(0|[1-9]\d{0,15})$/.exec(text)
  if (!match) return null
  const position = { epoch: match[1]!, shard: Number(match[2]), seq: Number(match[3]) }
  return position.shard < shardCount && Number.isSafeInteger(position.seq) ? position : null
}
