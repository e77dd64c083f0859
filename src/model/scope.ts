// Scopes (who receives an entry) and presence keys (where people are present): the only place that builds, parses and
// takes apart their texts. Invariant: an id inside a key is in lower case, as ids are always written.
import { canonicalId, isId } from './scalar.ts'

/** Shards of the log, fixed at install. */
export const shardCount = 16

/** The audience of an entry: the members of a project, or one person. */
export type Scope = `project:${string}` | `user:${string}`

/** A place where people can be present: a project or a task. */
export type PresenceKey = `project:${string}` | `task:${string}`

export const projectScope = (projectId: string): Scope => `project:${projectId}`
export const userScope = (userId: string): Scope => `user:${userId}`
export const taskKey = (taskId: string): PresenceKey => `task:${taskId}`

/** The id in a scope or presence key. */
export const idOf = (key: Scope | PresenceKey): string => key.slice(key.indexOf(':') + 1)

export const isProjectScope = (scope: string): boolean => scope.startsWith('project:')
export const isUserScope = (scope: string): boolean => scope.startsWith('user:')
export const isTaskKey = (key: PresenceKey): boolean => key.startsWith('task:')

/** The shard a scope's entries are numbered in: first byte of SHA-256(scope) modulo `shardCount`. */
export const shardOf = (scope: string): number => {
  let shard = knownShards.get(scope)
  if (shard === undefined) {
    shard = new Bun.CryptoHasher('sha256').update(scope).digest()[0]! % shardCount
    if (knownShards.size >= maxKnownShards) knownShards.clear()
    knownShards.set(scope, shard)
  }
  return shard
}

/** Every entry asks for the shard of its scope. */
const knownShards = new Map<string, number>()
const maxKnownShards = 10_000

/** The scope a client names; `user:me` is the scope of `userId`. Null for any other text. */
export const parseScope = (text: string, userId: string): Scope | null => {
  if (text === 'user:me') return userScope(userId)
  const key = parseKey(text)
  return key && (key.kind === 'project' || key.kind === 'user') ? `${key.kind}:${key.id}` : null
}

/** The presence key a client names; null for any other text. */
export const parsePresenceKey = (text: string): PresenceKey | null => {
  const key = parseKey(text)
  return key && (key.kind === 'project' || key.kind === 'task') ? `${key.kind}:${key.id}` : null
}

/** A text such as `project:<id>`, its id in lower case; null for any other. */
const parseKey = (text: string): { kind: string; id: string } | null => {
  const colon = text.indexOf(':')
  const id = canonicalId(text.slice(colon + 1))
  return colon > 0 && isId(id) ? { kind: text.slice(0, colon), id } : null
}
