// PostgreSQL dropping every connection under load, seen by clients: 503 with Retry-After, never a hang, and with
// its Idempotency-Key each write happens exactly once however often it was repeated.
import { projectScope } from '../../src/model/scope.ts'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import type { Task } from '../../src/model/task.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, type Person, type World } from '../support/world.ts'

const clients = 20
const rounds = 25
/** A request that takes longer hangs: each try of the server ends within 4 s of its own time. */
const requestTimeoutMs = 30_000

let world: World
let ada: Person

beforeAll(async () => {
  world = await startWorld()
  ada = await world.register('Ada')
})

afterAll(() => world[Symbol.asyncDispose]())

/** Ends every backend of the server's pool; answers how many. */
const terminateAll = async (admin: Bun.SQL): Promise<number> => {
  const rows = await admin`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name like 'tasktide server%'`
  return rows.length
}

test('every acknowledged write is there once, every refusal is a 503 with Retry-After', async () => {
  const stop = new AbortController()
  const acknowledged = new Map<string, Task>()
  let answered = 0
  const refusals: { status: number; retryAfter: string | null; code: string }[] = []

  const write = async (key: string): Promise<void> => {
    const body = JSON.stringify({ title: key })
    const headers = {
      Authorization: `Bearer ${ada.token}`,
      'Content-Type': 'application/json',
      'Idempotency-Key': key,
    }
    for (;;) {
      const response = await fetch(`${world.url}/api/tasks`, {
        method: 'POST',
        headers,
        body,
        signal: AbortSignal.timeout(requestTimeoutMs),
      })
      const answer = await response.json()
      answered += 1
      if (response.status === 201) {
        acknowledged.set(key, answer)
        return
      }
      refusals.push({
        status: response.status,
        retryAfter: response.headers.get('retry-after'),
        code: answer.code,
      })
    }
  }
  const load = Array.from({ length: clients }, async (_, client) => {
    for (let index = 0; !stop.signal.aborted; index += 1) await write(`write-${client}-${index}`)
  })
  await using admin = new Bun.SQL(world.databaseUrl, { max: 1 })
  let terminated = 0
  for (let round = 0; round < rounds; round += 1) {
    const until = answered + 1 + Math.floor(Math.random() * clients) // somewhere within the writes under way
    await eventually(() => expect(answered).toBeGreaterThanOrEqual(until), {
      timeoutMs: requestTimeoutMs,
      everyMs: 1,
    })
    terminated += await terminateAll(admin)
  }
  stop.abort()
  await Promise.all(load)

  expect(terminated).toBeGreaterThan(rounds)
  expect(refusals.length).toBeGreaterThan(0)
  for (const { status, retryAfter, code } of refusals) {
    expect([503, 409]).toContain(status) // 409: the first try still runs
    expect(['unavailable', 'idempotency_in_flight']).toContain(code)
    expect(Number(retryAfter)).toBeGreaterThan(0)
  }
  const rows = await world.server.deps.db.read(
    (sql) =>
      sql<{ id: string; title: string }[]>`select id, title from tasks where project_id = ${ada.inboxId}`,
  )
  const byTitle = new Map(rows.map(({ id, title }) => [title, id]))
  expect(rows.length).toBe(acknowledged.size)
  for (const [key, { id }] of acknowledged) expect(byTitle.get(key)).toBe(id)
  const entries = await world.entries(projectScope(ada.inboxId))
  const created = entries.filter(({ type }) => type === 'task.created')
  expect(new Set(created.map(({ entityId }) => entityId)).size).toBe(acknowledged.size)
  expect(created.length).toBe(acknowledged.size)
  expect((await world.call('GET', '/readyz')).status).toBe(200)
}, 180_000)
