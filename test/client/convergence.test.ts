// Many clients write at random over networks that fail: each effect happens once, and every view ends equal to
// PostgreSQL. TIDE_SEED repeats the choices of a run, TIDE_STEPS sets its length.
import { expect, test } from 'bun:test'
import { createClient, type Client } from '../../packages/client/src/client.ts'
import { ConflictError } from '../../packages/client/src/errors.ts'
import { inOrder } from '../../packages/client/src/outbox/overlay.ts'
import type { Write } from '../../packages/client/src/outbox/outbox-entry.ts'
import type { ProjectView } from '../../packages/client/src/views/project-view.ts'
import type { Task } from '../../src/model/task.ts'
import { randomOf, seed } from '../changelog/seed.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, testPassword, type Person } from '../support/world.ts'
import { Mischief } from './mischief.ts'
import { quick } from './scripted.ts'

const steps = Number(process.env['TIDE_STEPS'] ?? 400)

interface Writer {
  client: Client
  view: ProjectView
  mischief: Mischief
}

const words = ['ash', 'birch', 'cedar', 'elm', 'fir', 'hazel', 'larch', 'oak']
/** In a frame six bytes a letter: too large to be sent whole. */
const longText = 'ж'.repeat(4_000)

test('Random writes, repeats, reorderings, disconnects and offline edits converge on PostgreSQL (C-VER-1)', async () => {
  const random = randomOf(seed)
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)]!
  await using stack = new AsyncDisposableStack()
  const world = stack.use(await startWorld())
  // Frequent positions, so that confirmed cursors advance during the test.
  const server = stack.use(await world.another({}, { positionIntervalMs: 100, sweepIntervalMs: 50 }))
  const people = [await world.register(), await world.register()]
  const project = await world.call('POST', '/api/projects', {
    token: people[0]!.token,
    body: { name: 'Forest' },
  })
  const projectId: string = project.body.id
  await world.call('POST', `/api/projects/${projectId}/members`, {
    token: people[0]!.token,
    body: { email: people[1]!.email, role: 'editor' },
  })

  const settled = { done: 0, refused: new Map<string, number>() }
  const settledCount = () => [...settled.refused.values()].reduce((sum, count) => sum + count, settled.done)
  const writes: Write[] = []
  /** Ops that `onRefused` received, and those it should have received: a conflict the rule decided is none. */
  const notified: string[] = []
  const failed: string[] = []

  const join = async (person: Person, transport: 'socket' | 'poll'): Promise<Writer> => {
    const mischief = new Mischief(random)
    const client = stack.use(
      createClient({
        url: server.url,
        transport,
        fetch: mischief.fetch,
        WebSocket: mischief.WebSocket,
        timing: { ...quick, stableMs: 10_000, attempts: 2 },
        onConflict: () => pick(['mine', 'theirs', { changes: { title: pick(words) } }]),
        onRefused: ({ op }) => void notified.push(op),
      }),
    )
    // A session of its own: refreshing must not end another client's.
    const sign = { email: person.email, password: testPassword }
    await client.session.adopt((await world.call('POST', '/api/auth/login', { body: sign })).body)
    const view = client.project(projectId).live()
    await view.ready
    return { client, view, mischief }
  }
  const writers = await Promise.all([
    join(people[0]!, 'socket'),
    join(people[0]!, 'socket'),
    join(people[1]!, 'socket'),
    join(people[1]!, 'poll'),
  ])

  const change = ({ view }: Writer): Write => {
    const tasks = view.current.tasks
    const task = pick(tasks)
    const choice = random()
    if (!task || choice < 0.3) return view.create({ title: pick(words), tags: [pick(words)] })
    if (choice < 0.55) return view.update(task.id, { title: `${pick(words)} ${pick(words)}` })
    if (choice < 0.7) return view.update(task.id, { status: pick(['todo', 'in_progress', 'done']) })
    if (choice < 0.75) return view.update(task.id, { description: longText, priority: pick(['low', 'high']) })
    if (choice < 0.8) return view.update(task.id, { parentId: pick(tasks).id })
    if (choice < 0.92) return view.move(task.id, { after: pick(tasks).id })
    return view.delete(task.id)
  }

  /** The step at which a network comes back. */
  const backAt = new Map<Mischief, number>()
  for (let step = 0; step < steps; step += 1) {
    for (const [network, at] of backAt) if (at <= step) network.isOffline = false
    const writer = pick(writers)
    const { mischief } = writer
    if (random() < 0.04) mischief.kill()
    if (random() < 0.03) {
      mischief.isOffline = true
      mischief.kill()
      backAt.set(mischief, step + 20 + Math.floor(random() * 60))
    }
    const write = change(writer)
    write.settled.then(
      () => (settled.done += 1),
      (error: Error) => {
        const why = 'code' in error ? String(error.code) : error.name
        settled.refused.set(why, (settled.refused.get(why) ?? 0) + 1)
        if (!(error instanceof ConflictError && error.isDecided)) failed.push(write.op)
      },
    )
    writes.push(write)
    // Round trips of the server set the pace: a slow machine writes more slowly, and the seed decides how many.
    for (let trips = random() < 0.7 ? random() * 15 : 0; trips > 0; trips -= 1)
      await fetch(`${server.url}/livez`)
  }

  for (const { mischief } of writers) Object.assign(mischief, { isCalm: true, isOffline: false })
  const rows = (): Promise<Task[]> =>
    world
      .call('GET', `/api/projects/${projectId}/snapshot?limit=5000`, { token: people[0]!.token })
      .then(({ body }) => inOrder(body.tasks))
  await eventually(
    async () => {
      for (const { client, view } of writers) {
        expect(client.outbox.pending).toEqual([])
        expect(view.state).toBe('live')
        expect(view.current.tasks).toEqual(await rows())
      }
    },
    { timeoutMs: 30_000, everyMs: 100, progress: settledCount },
  )

  const entries = await world.entries(`project:${projectId}`)
  const effects = entries.filter(({ op, type }) => op !== null && type.startsWith('task.'))
  const keys = effects.map(({ op, entityId, type }) => `${op} ${entityId} ${type}`)
  expect(keys.length).toBe(new Set(keys).size)
  const made = new Set(effects.map(({ op }) => op))
  expect(settledCount()).toBe(writes.length)
  expect(notified.sort()).toEqual(failed.sort())
  // Versions of each task rise by one from entry to entry, so nothing was written past the log.
  const versions = new Map<string, number>()
  for (const { entityId, version } of effects) {
    expect(version).toBe((versions.get(entityId!) ?? 0) + 1)
    versions.set(entityId!, version)
  }
  console.log(
    `${steps} writes: ${settled.done} settled, refused ${JSON.stringify(Object.fromEntries(settled.refused))};`,
    `${entries.length} entries, ${made.size} ops;`,
    writers.map(({ mischief }) => JSON.stringify(mischief.counts)).join(' '),
  )
}, 300_000)
