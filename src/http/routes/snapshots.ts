// Snapshots: the full state of a project or of the user, with the cursor from which a client follows the log.
import { Type } from '@sinclair/typebox'
import type { HeldBytes } from '../../async/held-bytes.ts'
import type { SnapshotPlace } from '../../domain/snapshot-pages.ts'
import type { Snapshots } from '../../domain/snapshot.ts'
import { AppError } from '../../errors.ts'
import { Cursor, Whole } from '../query.ts'
import { HeldBody } from '../held-body.ts'
import { jsonPieces } from '../response.ts'
import { RouteGroup } from '../route-group.ts'
import { describedIn } from '../route.ts'
import { projectScope, shardOf } from '../../model/scope.ts'
import { formatCursor, parseCursor } from '../../model/event.ts'
import { Id, isId } from '../../model/scalar.ts'
import { ProjectSnapshot, UserSnapshot } from '../../model/snapshot.ts'

const defaultLimit = 1_000

const detail = describedIn('Log')

export const snapshotRoutes = (deps: { snapshots: Snapshots }) =>
  new RouteGroup()
    .get(
      '/api/projects/:id/snapshot',
      async ({ actor, params, query }) => {
        const place = query.after === undefined ? null : parsePlace(query.after, params.id)
        const limit = Number(query.limit ?? defaultLimit)
        const { page, release } = await deps.snapshots.ofProject(actor, params.id, place, limit)
        const { next, tasks, ...snapshot } = page
        const nextAfter = next && formatPlace(next)
        return jsonPieces(withItems(actor.userId, { ...snapshot, nextAfter }, 'tasks', tasks, release))
      },
      {
        params: Type.Object({ id: Id() }),
        query: Type.Object(
          {
            limit: Type.Optional(
              Whole({
                minimum: 1,
                maximum: 5000,
                default: defaultLimit,
                description: 'Tasks per page, fewer where they fill 4 MiB',
              }),
            ),
            after: Type.Optional(Cursor({ maxLength: 200, description: '`nextAfter` of the page before' })),
          },
          { additionalProperties: false },
        ),
        response: { 200: ProjectSnapshot },
        detail: detail('A project, its members and tasks, and the cursor to follow it from'),
      },
    )
    .get(
      '/api/users/me/snapshot',
      async ({ actor }) => {
        const { page, release } = await deps.snapshots.ofUser(actor)
        const { sharedTasks, ...snapshot } = page
        return jsonPieces(withItems(actor.userId, snapshot, 'sharedTasks', sharedTasks, release))
      },
      {
        response: { 200: UserSnapshot },
        detail: detail(
          'Your projects, shared tasks and notifications, and the cursor to follow user:me from',
        ),
      },
    )

/** Puts tasks, which are JSON already, before the closing brace of the snapshot's text. */
const withItems = (
  holder: string,
  snapshot: object,
  name: string,
  items: HeldBytes,
  release: () => void,
): HeldBody => {
  const head = Buffer.from(`${JSON.stringify(snapshot).slice(0, -1)},"${name}":[`)
  const end = Buffer.from(']}')
  return new HeldBody(
    holder,
    head.length + items.length + end.length,
    function* () {
      yield head
      yield* items.pieces()
      yield end
    },
    release,
  )
}

// The text needs no signature: a forged one only skips tasks of a project that the caller may read.
const formatPlace = ({ cursor, createdAt, id }: SnapshotPlace): string =>
  `${cursor}.${Date.parse(createdAt)}.${id}`

const parsePlace = (text: string, projectId: string): SnapshotPlace => {
  const [epoch, shard, seq, milliseconds = '', id, ...more] = text.split('.')
  const cursor = parseCursor(`${epoch}.${shard}.${seq}`)
  const isPlace = /^\d{1,14}$/.test(milliseconds) && isId(id) && more.length === 0
  if (cursor?.shard !== shardOf(projectScope(projectId)) || !isPlace) throw new AppError('bad_cursor')
  return { cursor: formatCursor(cursor), createdAt: new Date(Number(milliseconds)).toISOString(), id }
}
