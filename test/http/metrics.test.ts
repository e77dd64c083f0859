// /metrics of a running server and worker: every name of the role, right numbers, no series that a client makes up, and
// nothing for strangers in production.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openServer } from '../../src/app/compose.ts'
import { createLog } from '../../src/log.ts'
import type { MetricDefinition } from '../../src/metrics/metric-definition.ts'
import { metrics } from '../../src/metrics/names.ts'
import { eventually } from '../support/eventually.ts'
import { callsOf } from '../support/tasks.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { openWorker } from '../worker/rig.ts'

let world: World
let person: Person

beforeAll(async () => {
  world = await startWorld({ metricsPort: 0 })
  person = await world.register()
})

afterAll(() => world[Symbol.asyncDispose]())

const scrape = async (url: string): Promise<string[]> => {
  const response = await fetch(`${url}/metrics`)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toStartWith('text/plain; version=0.0.4')
  return (await response.text()).split('\n')
}

const namesIn = (lines: string[]): string[] =>
  lines.flatMap((line) => (line.startsWith('# TYPE ') ? [line.split(' ')[2]!] : []))

const namesOf = (role: 'server' | 'worker'): string[] =>
  Object.entries(metrics).flatMap(([name, definition]: [string, MetricDefinition]) =>
    definition.role === role || definition.role === 'every' ? [name] : [],
  )

/** The value of a series; 0 where it does not exist. */
const valueIn = (lines: string[], series: string): number =>
  Number(lines.find((line) => line.startsWith(`${series} `))?.split(' ')[1] ?? 0)

const internal = (): string => `http://127.0.0.1:${world.server.internalPort}`

test('a server exposes every metric of its role, on both of its ports', async () => {
  expect(namesIn(await scrape(internal())).sort()).toEqual(namesOf('server').sort())
  expect(namesIn(await scrape(world.url)).sort()).toEqual(namesOf('server').sort())
  expect((await fetch(`${internal()}/livez`)).status).toBe(200)
  expect((await fetch(`${internal()}/api/tasks`)).status).toBe(404)
})

test('a worker exposes every metric of its role, and counts what it handles', async () => {
  await using worker = await openWorker({ ...world, overdueIntervalMs: 100 })
  expect(namesIn(await scrape(worker.url)).sort()).toEqual(namesOf('worker').sort())
  const dueAt = new Date(Date.now() - 5_000).toISOString()
  await callsOf(world, person).task({ dueAt })
  await eventually(
    async () => {
      const lines = await scrape(worker.url)
      expect(valueIn(lines, 'tasktide_overdue_tasks_total')).toBe(1)
      expect(valueIn(lines, 'tasktide_overdue_lateness_seconds_count')).toBe(1)
      expect(valueIn(lines, 'tasktide_consumer_handled_total{consumer="stats"}')).toBeGreaterThan(0)
      expect(valueIn(lines, 'tasktide_worker_shards')).toBe(16)
      expect(valueIn(lines, 'tasktide_feed_contiguity_violations_total')).toBe(0)
      expect(valueIn(lines, 'tasktide_statistics_drift_total')).toBe(0)
    },
    { timeoutMs: 15_000 },
  )
}, 30_000)

test('requests are counted by route and class, and what a client makes up adds no series', async () => {
  const calls = callsOf(world, person)
  const count = 'tasktide_http_request_duration_seconds_count'
  const before = await scrape(internal())
  const task = await calls.task()
  for (let n = 0; n < 3; n += 1) await calls.get(task.id)
  await calls.call('GET', `/api/tasks/${Bun.randomUUIDv7()}`)
  await fetch(`${world.url}/api/tasks/${task.id}`, { method: 'TRACE' }).catch(() => {})
  for (let n = 0; n < 20; n += 1) await fetch(`${world.url}/made/up/${n}`)
  for (let n = 0; n < 20; n += 1) await fetch(`${world.url}/api/tasks/${n}?x=${n}`)
  const after = await scrape(internal())
  const more = (labels: string) => valueIn(after, `${count}${labels}`) - valueIn(before, `${count}${labels}`)
  expect(more('{method="GET",route="/api/tasks/:id",status="2xx"}')).toBe(3)
  expect(more('{method="POST",route="/api/tasks",status="2xx"}')).toBe(1)
  expect(more('{method="any",route="unknown",status="4xx"}')).toBe(20)
  expect(after.filter((line) => line.includes('/made/') || line.includes(task.id))).toEqual([])
  const series = (lines: string[]) => lines.filter((line) => line.startsWith(count)).length
  expect(series(after) - series(before)).toBeLessThanOrEqual(4)
})

test('sockets, kept answers and stages of entries are counted', async () => {
  const calls = callsOf(world, person)
  await using socket = await world.socket(person)
  socket.send({ t: 'sub', rid: 1, scope: `project:${person.inboxId}`, cursor: null })
  await socket.take('synced')
  const before = await scrape(internal())
  await calls.task()
  await socket.take('event')
  for (let n = 0; n < 3; n += 1) await calls.call('GET', '/api/tasks')
  await eventually(async () => {
    const lines = await scrape(internal())
    const more = (series: string) => valueIn(lines, series) - valueIn(before, series)
    expect(valueIn(lines, 'tasktide_sockets')).toBe(1)
    expect(more('tasktide_socket_frames_total{kind="event"}')).toBe(1)
    expect(more('tasktide_kept_answers_total{outcome="hit"}')).toBe(2)
    for (const stage of ['commit_to_stream', 'hub_to_socket', 'commit_to_hub'])
      expect(more(`tasktide_feed_stage_seconds_count{stage="${stage}"}`)).toBeGreaterThan(0)
    expect(valueIn(lines, 'tasktide_db_pool_connections{pool="calls",state="idle"}')).toBeGreaterThan(0)
  })
})

test('in production the public port answers administrators alone', async () => {
  await using server = await openServer(
    { ...world.config, env: 'production', port: 0, metricsPort: null, drainDelaySeconds: 0 },
    createLog('test', 'silent'),
  )
  const admin = await world.registerAdmin()
  const ask = async (token?: string) =>
    (
      await fetch(`${server.url}/metrics`, {
        headers: token === undefined ? {} : { Authorization: `Bearer ${token}` },
      })
    ).status
  expect([await ask(), await ask(person.token), await ask(admin.token)]).toEqual([401, 403, 200])
})
