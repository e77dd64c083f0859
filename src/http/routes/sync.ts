// The log over HTTP, for clients whose network blocks sockets: the same entries under the same cursors, a page at
// a time, with long-polling. Frames go out as they lie in the log; nothing is parsed.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Authenticator } from '../../auth/authenticator.ts'
import type { LogFollower } from '../../changelog/follower/log-follower.ts'
import type { LiveStats } from '../../changelog/live-stats.ts'
import { heavy, type CallerDatabase, type Tx } from '../../db/client.ts'
import { parseScope } from '../../model/scope.ts'
import { readScopePage } from '../../db/log/sync.ts'
import { joinScopes, snapshotPath, type Joined } from '../../domain/sync.ts'
import { AppError, notFound } from '../../errors.ts'
import { authenticate, signedIn } from '../guard.ts'
import { News } from '../news.ts'
import { Cursors, listOf, Repeatable, Whole } from '../query.ts'
import { contextOf } from '../request-context.ts'
import { respond } from '../response.ts'
import { describedIn } from '../route.ts'
import type { Waiters } from '../../limits/waiters.ts'
import { shardOf, type Scope } from '../../model/scope.ts'
import type { Actor } from '../../model/actor.ts'
import { formatCursor, parseCursor, type Position } from '../../model/event.ts'
import { Problem } from '../../model/problem.ts'
import { SyncAnswer } from '../../model/sync.ts'

const maxScopes = 64
/** Of one scope. */
const pageEntries = 500
/** Of one answer, so that many scopes at once stay bounded. */
const answerBytes = 4 * 1024 * 1024

interface SyncDeps {
  authenticator: Authenticator
  db: CallerDatabase
  draining: AbortSignal
  follower: LogFollower
  polls: Waiters
  stats: LiveStats
}

export const syncRoutes = (deps: SyncDeps) =>
  new Elysia({ prefix: '/api/sync' }).use(signedIn).get(
    '',
    async ({ actor, query, request }) => {
      const wanted = pair(actor, listOf(query.scope), listOf(query.cursor))
      const waitMs = Number(query.wait ?? 0) * 1000
      using news = new News(deps, actor.userId, wanted)
      let pages = await readPages(deps, actor, wanted)
      if (waitMs > 0 && !pages.some((page) => page.hasMoved)) {
        await waitInLine(deps.polls, actor, news, waitMs, request.signal)
        // The session may have ended, or lost its role, while this waited.
        await authenticate(request, deps.authenticator)
        pages = await readMoved(deps, contextOf(request).identity!.actor, wanted, pages, news)
      }
      return respond({
        status: 200,
        headers: { 'Content-Type': 'application/json; charset=utf-8', 'Cache-Control': 'no-store' },
        body: `{"scopes":[${pages.map((page) => page.json).join(',')}]}`,
      })
    },
    {
      query: Type.Object(
        {
          scope: Repeatable(
            { type: 'string', maxLength: 100 },
            maxScopes,
            'A scope; its cursor is the one at the same place',
          ),
          cursor: Cursors(maxScopes, 'A cursor from a snapshot, an event or an earlier answer'),
          wait: Type.Optional(
            Whole({ minimum: 0, maximum: 25, default: 0, description: 'Seconds to wait for something new' }),
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

/** Waits for news; of one person's polls that wait, the longest waiting is answered when there are too many. */
const waitInLine = async (
  polls: Waiters,
  { userId }: Actor,
  news: News,
  waitMs: number,
  hangUp: AbortSignal,
): Promise<void> => {
  using _ = polls.enter(userId, () => news.release())
  await news.within(waitMs, hangUp)
}

/** Reads again what moved; of everything else the answer is known. */
const readMoved = async (
  deps: SyncDeps,
  actor: Actor,
  wanted: Wanted[],
  pages: Page[],
  news: News,
): Promise<Page[]> => {
  const moved = wanted.filter(({ scope }) => news.isOf(scope))
  if (moved.length === 0) return pages
  const read = await readPages(deps, actor, moved)
  const byScope = new Map(moved.map(({ scope }, index) => [scope, read[index]!]))
  return pages.map((page, index) => byScope.get(wanted[index]!.scope) ?? page)
}

interface Page {
  /** Whether there was anything after the cursor. */
  hasMoved: boolean
  bytes: number
  json: string
}

/** Of more scopes than this a read is a heavy one. */
const manyScopes = 16

/** All scopes at one state of the database, in the order asked. */
const readPages = (deps: SyncDeps, actor: Actor, wanted: Wanted[]): Promise<Page[]> =>
  deps.db.of(actor.userId).snapshot(
    async (tx) => {
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
    hasMoved: missed > 0,
    bytes,
    json: `{"scope":"${scope}","events":[${frames.join(',')}],"cursor":"${at}","more":${more}}`,
  }
}
