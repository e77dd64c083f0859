// The parent of server processes, with scripted children: see test/ws/workers.test.ts for real ones.
import { expect, test } from 'bun:test'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { identify } from '../../dev/process-identity.ts'
import { messageOf } from '../../src/errors.ts'
import { createLog } from '../../src/log.ts'
import { openServers, type Servers } from '../../src/app/supervisor.ts'
import { eventually } from '../support/eventually.ts'

/** Each child records its start and its port, then runs this code. */
const openWith = async (
  behaviour: string,
  count = 2,
  pauseMs = { first: 5, most: 20 },
): Promise<{ servers: Promise<Servers>; starts: () => Promise<string[]> } & AsyncDisposable> => {
  const dir = await mkdtemp(join(tmpdir(), 'tide-supervisor-'))
  const script = join(dir, 'child.ts')
  await writeFile(
    script,
    `require('node:fs').writeFileSync('${dir}/start ' + process.env.PORT + ' ' + process.pid, '')
    const ready = () => process.send({ port: Number(process.env.PORT) || 4711 })
    process.on('disconnect', () => process.exit(0))
    ${behaviour}`,
  )
  const servers = openServers({
    config: { host: '127.0.0.1', port: 0, metricsPort: null, internalHost: '127.0.0.1' },
    count,
    command: [process.execPath, script],
    environment: { PATH: process.env['PATH'] },
    log: createLog('test', 'silent'),
    pauseMs,
  })
  servers.catch(() => {})
  return {
    servers,
    starts: async () => (await readdir(dir)).filter((name) => name.startsWith('start')),
    [Symbol.asyncDispose]: async () => {
      await servers.then((opened) => opened[Symbol.asyncDispose]()).catch(() => {})
      await rm(dir, { recursive: true, force: true })
    },
  }
}

test('the first process chooses the port, and all others receive it', async () => {
  await using one = await openWith('ready()', 3)
  const { port, url } = await one.servers
  expect([port, url]).toEqual([4711, 'http://127.0.0.1:4711'])
  const ports = (await one.starts()).map((name) => name.split(' ')[1]!)
  expect(ports.sort()).toEqual(['0', '4711', '4711'])
})

test('a process that ends before it is ready is an error with its exit code', async () => {
  await using one = await openWith('process.exit(7)')
  const error = await one.servers.catch(messageOf)
  expect(error).toBe('server process 1 ended with 7 before it was ready')
})

test('a process that ends is started again; after repeated ends the parent fails', async () => {
  await using one = await openWith('ready(); setTimeout(() => process.exit(3), 20)')
  const servers = await one.servers
  const error = await servers.failed.catch(messageOf)
  expect(error).toMatch(/ended 11 times in a row; the last ended with 3/)
  expect((await one.starts()).length).toBeGreaterThanOrEqual(11)
}, 30_000)

test('after a stop no process is started again, also not one that was about to be', async () => {
  await using one = await openWith('ready(); setTimeout(() => process.exit(3), 50)')
  const servers = await one.servers
  await eventually(async () => expect((await one.starts()).length).toBeGreaterThan(2))
  await servers[Symbol.asyncDispose]()
  const starts = (await one.starts()).length
  // A process started again would record its start before these two, which start one after the other.
  await using later = await openWith('ready()')
  await later.servers
  expect((await one.starts()).length).toBe(starts)
}, 20_000)

test('a stop in the pause before a restart prevents it', async () => {
  await using one = await openWith('ready(); setTimeout(() => process.exit(3), 50)', 2, {
    first: 60_000,
    most: 60_000,
  })
  const servers = await one.servers
  const pids = (await one.starts()).map((name) => Number(name.split(' ')[2]))
  await eventually(() => expect(pids.map((pid) => identify(pid))).toEqual([undefined, undefined]))
  await servers[Symbol.asyncDispose]()
  await using later = await openWith('ready()')
  await later.servers
  expect((await one.starts()).length).toBe(2)
}, 20_000)

test('a stop waits until the processes have finished their work', async () => {
  await using one = await openWith(
    "process.on('SIGTERM', () => setTimeout(() => process.exit(0), 300)); ready()",
  )
  const servers = await one.servers
  const startedAt = performance.now()
  await servers[Symbol.asyncDispose]()
  expect(performance.now() - startedAt).toBeGreaterThan(250)
}, 20_000)
