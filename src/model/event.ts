// The change log as a type: what an entry says, who hears it (scope), under which number (cursor), and how it
// looks on the wire. Read this file to know what Tasktide tells the world.
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

/** What every server process does on reading the entry, before anything after it is delivered. */
export type Control =
  /** End this person's subscriptions to the entry's scope. */
  | { kind: 'revoke'; userId: string }
  /** The project is gone: end everybody's subscriptions to the entry's scope. */
  | { kind: 'delete' }
  /** One session of the scope's user ended: drop its tokens, close its sockets (4403). */
  | { kind: 'session'; sessionId: string }
  /** All sessions of the scope's user ended, but for `except`: drop their tokens, close their sockets (4403). */
  | { kind: 'sessions'; except: string | null }
  /** The scope's user was disabled or deleted: drop the tokens, close the sockets (4403). */
  | { kind: 'disabled' }
  /** The scope's user has another global role: drop the tokens, close the sockets (4010, they come back). */
  | { kind: 'role' }

/**
 * What changed, by field. A text of more than `maxChangeText` code units is not repeated here: in its place is
 * `{length}`, in code units. The whole value is in the frame, and in the row until it changes again.
 */
export type Changes = Record<string, { from: unknown; to: unknown }>

/** Longest text that `changes` carry, and that a stored answer keeps. */
export const maxChangeText = 256

/** Whether a text is longer than what is kept beside the row it belongs to. */
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
  /** `control` entries that say nothing to clients are of type `control` and have no frame. */
  type: EventType | 'control'
  /** The entity it is about; null only for `control`, `scope.refetch` and a read-all. */
  id: string | null
  /** The entity's version; absent where an entity has none: then the entry's number stands for it. */
  version?: number
  /** The full current value, in the shape REST answers with. */
  data?: object
  /** Names of the fields that changed, of an update. */
  changed?: string[]
  actorId: string | null
  control?: Control
  changes?: Changes
}

/** An entry of the log. */
export interface LogEntry {
  shard: number
  seq: number
  /** RFC 3339, when it was appended. */
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
  /** The whole socket frame, ASCII JSON; null for what sockets do not see. */
  frame: string | null
}

/** More entries than this for one scope in one transaction are quiet, followed by one `scope.refetch`. */
export const maxLoudEntries = 200

/** Above this the largest text fields are left out of a frame and named in `omitted`. */
export const maxFrameBytes = 16 * 1024

/**
 * The part of the frame its writer knows: everything but scope, cursor, version and time, which the append
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

/** A place in one shard of the log: everything up to `seq` is before it. */
export interface Position {
  epoch: string
  shard: number
  seq: number
}

/** A position as clients hold it: opaque to them. */
export const formatCursor = ({ epoch, shard, seq }: Position): string => `${epoch}.${shard}.${seq}`

/** The position in a cursor, or null if the text is none. */
export const parseCursor = (text: string): Position | null => {
  const match = /^([a-z0-9]{4,32})\.(0|[1-9]\d?)\.(0|[1-9]\d{0,15})$/.exec(text)
  if (!match) return null
  const position = { epoch: match[1]!, shard: Number(match[2]), seq: Number(match[3]) }
  return position.shard < shardCount && Number.isSafeInteger(position.seq) ? position : null
}
