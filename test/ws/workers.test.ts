// `server --workers N`: several processes on one port with the same state, restarted by their parent.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { controlEntry } from '../../src/domain/users/sessions.ts'
import { systemWrite, write } from '../../src/domain/write.ts'
import { freePort } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { startProgram, type Program } from '../support/program.ts'
import type { TestSocket } from '../support/socket.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { entry, makeProject, appendEntries } from './log-writes.ts'

const count = 3
/** Enough for the kernel to deal some of them to each process. */
const crowd = 30

let world: World
let program: Program
let anna: Person
let bert: Person

beforeAll(async () => {
  world = await startWorld()
  program = await startProgram(world, { args: ['server', '--workers', String(count)] })
  ;({ anna, bert } = await world.people('anna', 'bert'))
}, 60_000)
afterAll(async () => {
  await program[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
}, 60_000)

const open = (person: Person): Promise<TestSocket> => world.socket(person, program.url)

const openCrowd = async (stack: AsyncDisposableStack, person: Person): Promise<TestSocket[]> =>
  (await Promise.all(Array.from({ length: crowd }, () => open(person)))).map((socket) => stack.use(socket))

const running = async (): Promise<number[]> => {
  const children = await program.children()
  expect(children).toHaveLength(count)
  return children
}

test('one ready line, N processes, and each of them serves', async () => {
  await running()
  const lines = (await program.output()).split('\n').filter((line) => line.startsWith('{"ready"'))
  expect(lines).toHaveLength(1)
  expect(JSON.parse(lines[0]!)).toMatchObject({ ready: true, role: 'server', pid: program.pid })
  const answers = await Promise.all(Array.from({ length: 20 }, () => fetch(`${program.url}/readyz`)))
  expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
})

test('a removed member receives nothing after its removal on any of them, by subscription or by watch', async () => {
  const project = await makeProject(world, anna, { editor: bert })
  const key = `project:${project.id}`
  await using stack = new AsyncDisposableStack()
  const sockets = await openCrowd(stack, bert)
  for (const socket of sockets) {
    socket.send({ t: 'sub', rid: 1, scope: key })
    socket.send({ t: 'watch', rid: 2, key })
  }
  await Promise.all(sockets.map((socket) => socket.take('synced')))
  await Promise.all(sockets.map((socket) => socket.take((frame) => frame.t === 'ok' && frame.rid === 2)))
  const over = new AbortController()
  const writing = (async () => {
    while (!over.signal.aborted)
      await appendEntries(world.server.deps, entry(project.scope), entry(project.scope))
  })()
  await Promise.all(sockets.map((socket) => socket.take('event')))
  const { status } = await world.call('DELETE', `/api/projects/${project.id}/members/${bert.id}`, {
    token: anna.token,
  })
  expect(status).toBe(204)
  await Promise.all(sockets.map((socket) => socket.take('access')))
  await Promise.all(sockets.map((socket) => socket.take((frame) => frame.t === 'error' && frame.key === key)))
  over.abort()
  await writing
  const end = (await world.entries(project.scope)).find(({ control }) => control?.kind === 'revoke')!
  for (const socket of sockets) {
    const events = socket.frames.filter(({ t }) => t === 'event')
    expect(events.length).toBeGreaterThan(0)
    expect(events.every(({ cursor }) => Number(cursor.split('.')[2]) < end.seq)).toBe(true)
  }
}, 30_000)

test('presence spans all processes', async () => {
  const project = await makeProject(world, anna, { editor: bert })
  const key = `project:${project.id}`
  await using stack = new AsyncDisposableStack()
  const sockets = await openCrowd(stack, anna)
  for (const socket of sockets) socket.send({ t: 'watch', rid: 1, key })
  const b = stack.use(await open(bert))
  b.send({ t: 'watch', rid: 1, key })
  await Promise.all(
    [...sockets, b].map((socket) => socket.take((frame) => frame.t === 'presence' && frame.count === 2)),
  )
  b.send({ t: 'signal', key, kind: 'typing', data: { n: 7 } })
  await Promise.all(sockets.map((socket) => socket.take('signal')))
}, 30_000)

test('an ended session closes its sockets on all of them', async () => {
  const carl = await world.register()
  await using stack = new AsyncDisposableStack()
  const sockets = await openCrowd(stack, carl)
  await world.call('POST', '/api/auth/logout-all', { token: carl.token })
  expect(await Promise.all(sockets.map((socket) => socket.closed()))).toEqual(sockets.map(() => 4403))
}, 30_000)

test('a disabled user has no socket and gets none on any process', async () => {
  const carl = await world.register()
  await using stack = new AsyncDisposableStack()
  const sockets = await openCrowd(stack, carl)
  await write(world.server.deps, systemWrite, async (tx) => {
    await tx`update users set disabled_at = now() where id = ${carl.id}`
    return { value: undefined, entries: [controlEntry(carl.id, { kind: 'disabled' })] }
  })
  expect(await Promise.all(sockets.map((socket) => socket.closed()))).toEqual(sockets.map(() => 4403))
  const refused = await Promise.all(
    Array.from({ length: 20 }, () =>
      fetch(`${program.url}/api/users/me`, { headers: { Authorization: `Bearer ${carl.token}` } }),
    ),
  )
  expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([401]))
}, 30_000)

test('a process that is killed takes only its own sockets along and is started again', async () => {
  await using stack = new AsyncDisposableStack()
  const sockets = await openCrowd(stack, anna)
  const before = await running()
  process.kill(before[0]!, 'SIGKILL')
  const after = await eventually(
    async () => {
      const children = await running()
      expect(children).not.toContain(before[0]!)
      return children
    },
    { timeoutMs: 10_000 },
  )
  expect(after.filter((pid) => before.includes(pid))).toHaveLength(count - 1)
  const open = await Promise.all(
    sockets.map((socket) => {
      socket.send({ t: 'ping' })
      return Promise.race([socket.take('pong').then(() => true), socket.closed().then(() => false)])
    }),
  )
  const kept = open.filter(Boolean).length
  console.log(`${kept} of ${crowd} sockets outlived one of ${count} processes`)
  expect(kept).toBeGreaterThan(0)
  expect(kept).toBeLessThan(crowd)
}, 30_000)

test('a port in use is an error, not a share of the traffic', async () => {
  const port = new URL(program.url).port
  await using second = await startProgram(world, {
    args: ['server', '--workers', '2'],
    environment: { PORT: port },
    isReady: false,
  })
  expect(await second.exited).toBe(78)
  expect(await second.output()).toContain(`PORT is ${port}`)
}, 30_000)

test('the metrics of all processes are sums, also of one that was killed, on the internal port and on the shared one', async () => {
  const metricsPort = String(freePort())
  const args = ['server', '--workers', '2']
  await using one = await startProgram(world, { args, environment: { METRICS_PORT: metricsPort } })
  const served = async (url: string): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text()
    expect(text).toContain('tasktide_build_info')
    const series = 'tasktide_http_request_duration_seconds_count{method="GET",route="/version",status="2xx"} '
    return Number(
      text
        .split('\n')
        .find((line) => line.startsWith(series))
        ?.slice(series.length) ?? 0,
    )
  }
  const internal = `http://127.0.0.1:${metricsPort}`
  const ask = async (): Promise<void> => {
    for (let n = 0; n < 20; n += 1) await fetch(`${one.url}/version`, { headers: { Connection: 'close' } }) // dealt to either process
  }
  await ask()
  expect(await served(internal)).toBe(20)
  expect(await served(one.url)).toBe(20)
  const [child] = await one.children()
  process.kill(child!, 'SIGKILL')
  await eventually(async () => expect(await one.children()).not.toContain(child), { timeoutMs: 10_000 })
  await eventually(async () => expect((await one.children()).length).toBe(2), { timeoutMs: 20_000 })
  expect(await served(internal)).toBe(20)
  await eventually(async () => {
    await fetch(`${one.url}/version`)
    expect(await served(internal)).toBeGreaterThan(20)
  })
}, 60_000)

test.each(['0', 'many', '65', ''])('--workers %p is refused with the accepted range', async (text) => {
  await using refused = await startProgram(world, { args: ['server', `--workers=${text}`], isReady: false })
  expect(await refused.exited).toBe(78)
  expect(await refused.output()).toContain('from 1 to 64')
})

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s stops all in order, with exit code 0 and bye to every socket',
  async (signal) => {
    await using one = await startProgram(world, { args: ['server', '--workers', '2'] })
    const children = await one.children()
    await using socket = await world.socket(anna, one.url)
    expect(await one.stop(signal)).toBe(0)
    expect(await socket.closed()).toBe(1012)
    expect(socket.frames.at(-1)).toMatchObject({ t: 'bye', code: 1012 })
    expect(children.filter(isRunning)).toEqual([])
  },
  30_000,
)

test('no child outlives a parent that is killed', async () => {
  await using one = await startProgram(world, { args: ['server', '--workers', '2'] })
  const children = await one.children()
  expect(children.filter(isRunning)).toHaveLength(2)
  process.kill(one.pid, 'SIGKILL')
  await eventually(() => expect(children.filter(isRunning)).toEqual([]), { timeoutMs: 10_000 })
}, 30_000)

const isRunning = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
