// The log over HTTP, for clients whose network blocks WebSockets: the same entries under the same cursors, in pages, with
// long polling. Frames are sent as they are stored in the log, without parsing.
import { Type } from '@sinclair/typebox'
import type { Authenticator } from '../../auth/authenticator.ts'
import type { OriginConfig } from '../../auth/origin.ts'
import type { LogFollower } from '../../changelog/follower/log-follower.ts'
import type { LiveStats } from '../../changelog/live-stats.ts'
import { heavy, type CallerDatabase, type Tx } from '../../db/client.ts'
import { parseScope } from '../../model/scope.ts'
import { readScopePage } from '../../db/log/sync.ts'
import { joinScopes, snapshotPath, type Joined } from '../../domain/sync.ts'
import { AppError, notFound } from '../../errors.ts'
import { authenticate } from '../guard.ts'
import { LongPoll } from '../long-poll.ts'
import { Cursors, listOf, Repeatable, Whole } from '../query.ts'
import { bodyTag, jsonText } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import type { Waiters } from '../../limits/waiters.ts'
import { shardOf, type Scope } from '../../model/scope.ts'
import type { Actor } from '../../model/actor.ts'
import { formatCursor, parseCursor, type Position } from '../../model/event.ts'
import { Problem } from '../../model/problem.ts'
import { SyncAnswer } from '../../model/sync.ts'

const maxScopes = 64
const uuid = '[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}'
/** Of the document: whatever is no scope is 404 like the scope of another person. */
const scopePattern = `^(?:user:me|(?:project|user):${uuid})$`
/** Entries in an answer for one scope. */
const pageEntries = 500
/** Bytes of frames in one answer, which bounds a request for many scopes. */
const answerBytes = 4 * 1024 * 1024

interface SyncDeps {
  authenticator: Authenticator
  config: OriginConfig
  db: CallerDatabase
  draining: AbortSignal
  follower: LogFollower
  polls: Waiters
  stats: LiveStats
}

export const syncRoutes = (deps: SyncDeps) =>
  new RouteGroup('/api/sync').get(
    '',
    async (context) => {
      const wanted = pair(context.actor, listOf(context.query.scope), listOf(context.query.cursor))
      const waitMs = Number(context.query.wait ?? 0) * 1000
      using poll = new LongPoll(deps, context.actor.userId, wanted)
      let pages = await readPages(deps, context.actor, wanted, waitMs > 0 ? poll : null)
      if (waitMs > 0 && !pages.some((page) => page.hasEntries)) {
        await waitForEntries(deps.polls, context.actor, poll, waitMs, context.request.signal)
        // The session may have ended, or the role changed, during the wait.
        context.identity = await authenticate(context, deps.authenticator, deps.config)
        pages = await readChanged(deps, context.actor, wanted, pages, poll)
      }
      return bodyTag(jsonText(`{"scopes":[${pages.map((page) => page.json).join(',')}]}`))
    },
    {
      query: Type.Object(
        {
          scope: Repeatable(
            { type: 'string', maxLength: 100, pattern: scopePattern },
            maxScopes,
            'A scope; its cursor is the one at the same position',
          ),
          cursor: Cursors(maxScopes, 'A cursor from a snapshot, an event or an earlier answer'),
          wait: Type.Optional(
            Whole({ minimum: 0, maximum: 25, default: 0, description: 'Seconds to wait for new entries' }),
          ),
        },
        { additionalProperties: false },
      ),
      response: { 200: SyncAnswer, 410: Problem },
      detail: describedIn('Log')('Read the change log after a cursor'),
    },
  )

interface Wanted {
  scope: Scope
  cursor: Position
}

const pair = (actor: Actor, scopes: string[], cursors: string[]): Wanted[] => {
  if (scopes.length !== cursors.length) throw new AppError('bad_cursor', 'Give one cursor for each scope')
  const wanted = scopes.map((text, index) => {
    const scope = parseScope(text, actor.userId)
    if (!scope) throw notFound()
    const cursor = parseCursor(cursors[index]!)
    if (cursor?.shard !== shardOf(scope)) throw new AppError('bad_cursor')
    return { scope, cursor }
  })
  if (new Set(wanted.map(({ scope }) => scope)).size < wanted.length)
    throw new AppError('bad_request', 'Name each scope once')
  return wanted
}

/** Waits for new entries. Where a user has too many waiting polls, the longest waiting one is answered at once. */
const waitForEntries = async (
  polls: Waiters,
  { userId }: Actor,
  poll: LongPoll,
  waitMs: number,
  disconnected: AbortSignal,
): Promise<void> => {
  using _ = polls.enter(userId, () => poll.release())
  await poll.wait(waitMs, disconnected)
}

/** Reads the changed scopes again; the other pages are still exact. */
const readChanged = async (
  deps: SyncDeps,
  actor: Actor,
  wanted: Wanted[],
  pages: Page[],
  poll: LongPoll,
): Promise<Page[]> => {
  const changed = wanted.filter(({ scope }) => poll.hasChanged(scope))
  if (changed.length === 0) return pages
  const read = await readPages(deps, actor, changed, null)
  const byScope = new Map(changed.map(({ scope }, index) => [scope, read[index]!]))
  return pages.map((page, index) => byScope.get(wanted[index]!.scope) ?? page)
}

interface Page {
  /** Whether there are entries after the cursor. */
  hasEntries: boolean
  bytes: number
  json: string
}

/** Of more scopes than this a read is a heavy one. */
const manyScopes = 16

/** Reads all scopes in one database snapshot, in the order of the request. @param poll subscribes before it. */
const readPages = (
  deps: SyncDeps,
  actor: Actor,
  wanted: Wanted[],
  poll: Pick<LongPoll, 'subscribe'> | null,
): Promise<Page[]> =>
  deps.db.of(actor.userId).snapshot(
    async (tx) => {
      poll?.subscribe()
      const joined = await joinScopes(tx, actor, wanted, null)
      const pages: Page[] = []
      let left = answerBytes
      for (const [index, { scope }] of wanted.entries()) {
        const page = await readPage(deps, tx, scope, joined[index]!, left)
        pages.push(page)
        left -= page.bytes
      }
      return pages
    },
    wanted.length > manyScopes ? heavy : {},
  )

const readPage = async (
  { stats }: { stats: LiveStats },
  tx: Tx,
  scope: Scope,
  joined: Joined,
  maxBytes: number,
): Promise<Page> => {
  if (joined.kind === 'denied') throw notFound()
  if (joined.kind === 'resync') {
    stats.resyncs[joined.reason] += 1
    throw new AppError('cursor_expired', undefined, {
      extra: { reason: joined.reason, scope, snapshot: snapshotPath(scope) },
    })
  }
  const { epoch, shard, from, head, entries: missed } = joined
  const entries =
    missed > 0 && maxBytes > 0
      ? await readScopePage(tx, { scope, shard, after: from, upTo: head }, { limit: pageEntries, maxBytes })
      : []
  const frames = entries.flatMap(({ frame }) => frame ?? [])
  const bytes = frames.reduce((sum, frame) => sum + frame.length, 0)
  const isCut = missed > 0 && (maxBytes <= 0 || entries.length === pageEntries || bytes >= maxBytes)
  const reached = entries.at(-1)?.seq ?? from
  const more = isCut && reached < head
  const at = formatCursor({ epoch, shard, seq: more ? reached : head })
  return {
    hasEntries: missed > 0,
    bytes,
    json: `{"scope":"${scope}","events":[${frames.join(',')}],"cursor":"${at}","more":${more}}`,
  }
}
