// The log over HTTP, for clients whose network blocks sockets: the same entries under the same cursors, a page at
// a time, with long-polling. Frames go out as they lie in the log; nothing is parsed.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import type { Tx } from '../../db/client.ts'
import { readScopeFrames } from '../../db/feed.ts'
import type { Deps } from '../../deps.ts'
import type { Actor } from '../../domain/actor.ts'
import { joinScope, parseScope, snapshotPath } from '../../domain/sync.ts'
import { AppError, notFound } from '../../errors.ts'
import {
  formatCursor,
  parseCursor,
  shardOf,
  userScope,
  type LogEntry,
  type Position,
  type Scope,
} from '../../model/event.ts'
import { Problem } from '../../model/problem.ts'
import { SyncAnswer } from '../../model/sync.ts'
import { authenticate, guarded, signedIn } from '../guard.ts'
import { Cursors, listOf, Repeatable, Whole } from '../query.ts'
import { respond } from '../reply.ts'
import { factsOf } from '../request.ts'

const maxScopes = 64
/** Of one scope. */
const pageEntries = 500
/** Of one answer, so that many scopes at once stay bounded. */
const answerBytes = 4 * 1024 * 1024

type SyncDeps = Pick<Deps, 'authenticator' | 'db' | 'draining' | 'hub' | 'stats'>

export const syncRoutes = (deps: SyncDeps) =>
  new Elysia({ prefix: '/api/sync' }).use(signedIn).get(
    '',
    async ({ actor, query, request }) => {
      const wanted = pair(actor, listOf(query.scope), listOf(query.cursor))
      const waitMs = Number(query.wait ?? 0) * 1000
      using news = new News(deps, actor, wanted)
      let pages = await readPages(deps, actor, wanted)
      if (waitMs > 0 && !pages.some((page) => page.hasMoved)) {
        await news.within(waitMs, request.signal)
        // The session may have ended, or lost its role, while this waited.
        await authenticate(request, deps.authenticator)
        pages = await readPages(deps, factsOf(request).identity!.actor, wanted)
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
      detail: guarded('Log')('Read the change log after a cursor'),
    },
  )

interface Wanted {
  scope: Scope
  cursor: Position
}

const pair = (actor: Actor, scopes: string[], cursors: string[]): Wanted[] => {
  if (scopes.length !== cursors.length) throw new AppError('bad_cursor', 'Give one cursor for each scope')
  return scopes.map((text, index) => {
    const scope = parseScope(text, actor)
    if (!scope) throw notFound()
    const cursor = parseCursor(cursors[index]!)
    if (cursor?.shard !== shardOf(scope)) throw new AppError('bad_cursor')
    return { scope, cursor }
  })
}

interface Page {
  /** Whether there was anything after the cursor. */
  hasMoved: boolean
  bytes: number
  json: string
}

/** All scopes at one state of the database. */
const readPages = (deps: SyncDeps, actor: Actor, wanted: Wanted[]): Promise<Page[]> =>
  deps.db.snapshot(async (tx) => {
    const pages: Page[] = []
    let left = answerBytes
    for (const one of wanted) {
      const page = await readPage(deps, tx, actor, one, left)
      pages.push(page)
      left -= page.bytes
    }
    return pages
  })

const readPage = async (
  { stats }: Pick<Deps, 'stats'>,
  tx: Tx,
  actor: Actor,
  { scope, cursor }: Wanted,
  maxBytes: number,
): Promise<Page> => {
  const joined = await joinScope(tx, actor, scope, cursor, null)
  if (joined.kind === 'denied') throw notFound()
  if (joined.kind === 'resync') {
    stats.resyncs[joined.reason] += 1
    throw new AppError('cursor_expired', undefined, {
      extra: { reason: joined.reason, scope, snapshot: snapshotPath(scope) },
    })
  }
  const { epoch, shard, from, head } = joined
  const entries = from < head && maxBytes > 0 ? await readScopeFrames(tx, scope, from, head, pageEntries) : []
  const events: string[] = []
  let bytes = 0
  let reached = from
  for (const { seq, frame } of entries) {
    if (bytes >= maxBytes) break
    if (frame !== null) events.push(frame)
    bytes += frame?.length ?? 0
    reached = seq
  }
  const isCut = maxBytes <= 0 ? from < head : reached < (entries.at(-1)?.seq ?? reached)
  const more = isCut || (entries.length === pageEntries && reached < head)
  const at = formatCursor({ epoch, shard, seq: more ? reached : head })
  return {
    hasMoved: from < head && (more || entries.length > 0),
    bytes,
    json: `{"scope":"${scope}","events":[${events.join(',')}],"cursor":"${at}","more":${more}}`,
  }
}

/** Wakes on the first entry of any of the scopes; listens from before the first read, so that none is missed. */
class News implements Disposable {
  readonly #arrived = Promise.withResolvers<void>()
  readonly #wake = (): void => this.#arrived.resolve()
  readonly #leave: (() => void)[]

  constructor(
    private readonly deps: Pick<SyncDeps, 'draining' | 'hub'>,
    { userId }: Actor,
    wanted: Wanted[],
  ) {
    // The tail may be a moment behind what the first read saw.
    const later =
      ({ seq }: Position) =>
      (entries: LogEntry[]) => {
        if (entries.at(-1)!.seq > seq) this.#wake()
      }
    const controls = (entries: LogEntry[]) => {
      if (entries.some(({ control }) => control !== null)) this.#wake()
    }
    this.#leave = [
      ...wanted.map(({ scope, cursor }) =>
        deps.hub.subscribe(scope, { deliver: later(cursor), epochChanged: this.#wake }),
      ),
      deps.hub.subscribe(userScope(userId), { deliver: controls }),
    ]
  }

  /** Resolves after `waitMs` at the latest, and when the caller hangs up or the process drains. */
  async within(waitMs: number, hangUp: AbortSignal): Promise<void> {
    const timer = setTimeout(this.#wake, waitMs)
    const signals = [hangUp, this.deps.draining]
    for (const signal of signals) {
      if (signal.aborted) this.#wake()
      signal.addEventListener('abort', this.#wake)
    }
    await this.#arrived.promise
    clearTimeout(timer)
    for (const signal of signals) signal.removeEventListener('abort', this.#wake)
  }

  [Symbol.dispose](): void {
    for (const leave of this.#leave) leave()
  }
}
