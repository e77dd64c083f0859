// The log over HTTP, for clients whose network blocks sockets: the same entries under the same cursors, a page at
// a time, with long-polling. Frames go out as they lie in the log; nothing is parsed.
import { Type } from '@sinclair/typebox'
import { Elysia } from 'elysia'
import { readScope } from '../../db/feed.ts'
import type { Deps } from '../../deps.ts'
import type { Actor } from '../../domain/actor.ts'
import { joinScope, parseScope, snapshotPath } from '../../domain/sync.ts'
import { AppError, notFound } from '../../errors.ts'
import { formatCursor, parseCursor, shardOf, type Position, type Scope } from '../../model/event.ts'
import { signedIn } from '../guard.ts'
import { listOf, Repeatable, Whole } from '../query.ts'
import { respond } from '../reply.ts'

const maxScopes = 64
const pageEntries = 500

type SyncDeps = Pick<Deps, 'db' | 'hub' | 'isDraining'>

export const syncRoutes = (deps: SyncDeps) =>
  new Elysia({ prefix: '/api/sync' }).use(signedIn).get(
    '/',
    async ({ actor, query, request }) => {
      const wanted = pair(actor, listOf(query.scope), listOf(query.cursor))
      const waitMs = Number(query.wait ?? 0) * 1000
      using news = new News(
        deps.hub,
        wanted.map(({ scope }) => scope),
      )
      let pages = await Promise.all(wanted.map((one) => readPage(deps, actor, one)))
      if (waitMs > 0 && pages.every((page) => !page.moved) && !deps.isDraining()) {
        await news.within(waitMs, request.signal)
        pages = await Promise.all(wanted.map((one) => readPage(deps, actor, one)))
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
          cursor: Repeatable(
            { type: 'string', maxLength: 100 },
            maxScopes,
            'A cursor from a snapshot, an event or an earlier answer',
          ),
          wait: Type.Optional(
            Whole({ minimum: 0, maximum: 25, default: 0, description: 'Seconds to wait for something new' }),
          ),
        },
        { additionalProperties: false },
      ),
      detail: { tags: ['Log'], summary: 'Read the change log after a cursor', security: [{ bearer: [] }] },
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
  /** Whether it holds events or ends further on. */
  moved: boolean
  json: string
}

const readPage = async ({ db }: SyncDeps, actor: Actor, { scope, cursor }: Wanted): Promise<Page> => {
  const joined = await joinScope({ db }, actor, scope, cursor, null)
  if (joined.kind === 'denied') throw notFound()
  if (joined.kind === 'resync') {
    throw new AppError('cursor_expired', undefined, {
      extra: { reason: joined.reason, scope, snapshot: snapshotPath(scope) },
    })
  }
  const { epoch, shard, from, head } = joined
  const entries = await db.read((sql) => readScope(sql, scope, from, head, pageEntries))
  const more = entries.length === pageEntries && entries.at(-1)!.seq < head
  const reached = formatCursor({ epoch, shard, seq: more ? entries.at(-1)!.seq : head })
  const events = entries.flatMap((entry) => entry.frame ?? [])
  return {
    moved: entries.length > 0,
    json: `{"scope":"${scope}","events":[${events.join(',')}],"cursor":"${reached}","more":${more}}`,
  }
}

/** Wakes on the first entry of any of the scopes; listens from before the first read, so that none is missed. */
class News implements Disposable {
  readonly #arrived = Promise.withResolvers<void>()
  readonly #leave: (() => void)[]

  constructor(hub: Deps['hub'], scopes: Scope[]) {
    const subscriber = { deliver: () => this.#arrived.resolve() }
    this.#leave = scopes.map((scope) => hub.subscribe(scope, subscriber))
  }

  async within(waitMs: number, signal: AbortSignal): Promise<void> {
    const timer = setTimeout(this.#arrived.resolve, waitMs)
    signal.addEventListener('abort', () => this.#arrived.resolve(), { once: true })
    await this.#arrived.promise
    clearTimeout(timer)
  }

  [Symbol.dispose](): void {
    for (const leave of this.#leave) leave()
  }
}
