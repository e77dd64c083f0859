// `bun run tail` as a process: replays from a cursor, survives a restart, exits where reconnecting cannot help.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import type { Subprocess } from 'bun'
import { eventLine } from '../../src/cli/event-line.ts'
import { insertDeadLetter } from '../../src/db/log/dead-letters.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, testPassword, type Person, type World } from '../support/world.ts'
import { addMember, makeProject, appendMany, appendEntries, entry } from '../ws/log-writes.ts'

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register('Anna')
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

const main = join(import.meta.dir, '..', '..', 'src', 'main.ts')

interface Running extends AsyncDisposable {
  process: Subprocess
  out: () => string[]
  notes: () => string
}

const linesOf = (text: string): string[] => text.split('\n').filter(Boolean)

/** Starts the command; its output is read continuously. */
const run = (args: string[], environment: Record<string, string> = {}): Running => {
  const child = Bun.spawn([process.execPath, main, 'tail', ...args], {
    stdout: 'pipe',
    stderr: 'pipe',
    env: { PATH: process.env['PATH'] ?? '', ...environment },
  })
  const texts = { out: '', notes: '' }
  const keep = async (from: ReadableStream<Uint8Array>, name: keyof typeof texts): Promise<void> => {
    const decoder = new TextDecoder()
    for await (const chunk of from) texts[name] += decoder.decode(chunk, { stream: true })
  }
  const reading = Promise.all([keep(child.stdout, 'out'), keep(child.stderr, 'notes')])
  return {
    process: child,
    out: () => linesOf(texts.out),
    notes: () => texts.notes,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) child.kill('SIGKILL')
      await child.exited
      await reading
    },
  }
}

const cursorsIn = (lines: string[]): string[] =>
  lines.map((line) => (JSON.parse(line) as { cursor: string }).cursor)

test('it replays from a cursor, follows, and prints the cursor to resume from on Ctrl-C (C-SUB-1)', async () => {
  const project = await makeProject(world, anna)
  const log = async () =>
    (await world.entries(project.scope)).map(({ frame }) => (JSON.parse(frame!) as { cursor: string }).cursor)
  const [first] = await log()
  await appendMany(world.server.deps, project.scope, 3)
  await using running = run(['--url', world.url, '--scope', project.scope, '--cursor', first!, '--json'], {
    TASKTIDE_TOKEN: anna.token,
  })
  await eventually(() => expect(running.out()).toHaveLength(3), { timeoutMs: 10_000 })
  await appendEntries(world.server.deps, entry(project.scope))
  await eventually(() => expect(running.out()).toHaveLength(4))
  expect(cursorsIn(running.out())).toEqual((await log()).slice(1))
  running.process.kill('SIGINT')
  expect(await running.process.exited).toBe(0)
  await eventually(() => expect(running.notes()).toContain(`--cursor ${cursorsIn(running.out()).at(-1)}`))
  expect(running.notes()).toContain('3 to catch up')
}, 20_000)

test('it survives a restart of the server and shows what was written meanwhile, once (C-CLO-2)', async () => {
  const project = await makeProject(world, anna)
  const first = await world.another()
  const { port } = first
  await using running = run([
    '--url',
    first.url,
    '--scope',
    project.scope,
    '--email',
    anna.email,
    '--password',
    testPassword,
    '--json',
  ])
  await eventually(() => expect(running.notes()).toContain('Following'), { timeoutMs: 10_000 })
  await appendEntries(world.server.deps, entry(project.scope))
  await eventually(() => expect(running.out()).toHaveLength(1))
  // The reconnect window of `bye` is up to 10 s, which this test waits for.
  await first[Symbol.asyncDispose]()
  await appendMany(world.server.deps, project.scope, 5)
  await using _second = await world.another({ port })
  await eventually(() => expect(running.out()).toHaveLength(6), { timeoutMs: 30_000 })
  const log = (await world.entries(project.scope)).slice(1)
  expect(cursorsIn(running.out())).toEqual(log.map(({ frame }) => JSON.parse(frame!).cursor))
  expect(running.notes()).toContain('Not connected (1012)')
}, 60_000)

test('it exits with 1 and a reason where reconnecting cannot help (C-CLO-1)', async () => {
  const bert = await world.register('Bert')
  const project = await makeProject(world, anna)
  for (const [args, why] of [
    [['--scope', project.scope, '--token', bert.token], `There is no ${project.scope}`],
    [['--scope', 'nonsense', '--token', bert.token], 'bad_frame'],
    [['--token', 'nonsense'], 'no longer good (4401)'],
    [['--email', bert.email, '--password', 'wrong password'], 'answered with 401'],
  ] as const) {
    await using running = run(['--url', world.url, ...args])
    expect(await running.process.exited).toBe(1)
    await eventually(() => expect(running.notes()).toContain(why))
  }
  await addMember(world, project, anna, bert)
  await using member = run(['--url', world.url, '--scope', project.scope, '--token', bert.token])
  await eventually(() => expect(member.notes()).toContain('Following'), { timeoutMs: 10_000 })
  await world.call('DELETE', `/api/projects/${project.id}/members/${bert.id}`, { token: anna.token })
  expect(await member.process.exited).toBe(1)
  await eventually(() => expect(member.notes()).toContain('no longer yours'))
}, 30_000)

test('it answers invalid arguments with the reason, then the usage', async () => {
  for (const [args, reason] of [
    [['--colour'], "Unknown option '--colour'."],
    [['--scope'], "Option '--scope <value>' argument missing."],
    [['--json=1'], "Option '--json' does not take an argument."],
    [['project'], "Unexpected argument 'project'."],
    [
      ['--url', 'nowhere'],
      '--url must be the address of a server, such as http://127.0.0.1:3000, not nowhere',
    ],
    [['--url', 'ftp://127.0.0.1:3000'], '--url must be the address of a server'],
    [['--url', 'http://127.0.0.1:3000/api'], '--url must be the address of a server'],
    [['--cursor', 'k3v9x1q8.11.4711', '--token', 'x'], '--cursor needs the --scope it belongs to.'],
    [[], 'Give a token, or an e-mail address and a password.'],
  ] as const) {
    await using running = run([...args])
    expect(await running.process.exited).toBe(2)
    await eventually(() => expect(running.notes()).toContain('Usage: bun run tail'))
    expect(running.notes().split('\n')[0]).toStartWith(reason)
  }
}, 60_000)

const sessionsOf = async (person: Person): Promise<unknown[]> =>
  (await world.call('GET', '/api/auth/sessions', { token: person.token })).body.items

test('it follows every project of the user, new ones too, and the user, and signs out at the end', async () => {
  const carla = await world.register('Carla')
  const before = await makeProject(world, carla)
  const annas = await makeProject(world, anna)
  const address = new URL(world.url).host // without http://
  await using running = run(['--url', address, '--email', carla.email, '--password', testPassword, '--json'])
  const scopes = () => running.out().map((line) => (JSON.parse(line) as { scope: string }).scope)
  const following = (scope: string) =>
    eventually(() => expect(running.notes()).toContain(`Following ${scope} from now on`), {
      timeoutMs: 10_000,
    })
  for (const scope of [`user:${carla.id}`, before.scope, `project:${carla.inboxId}`]) await following(scope)
  expect(await sessionsOf(carla)).toHaveLength(2)
  const task = { token: carla.token, body: { title: 'In the Inbox' } }
  expect((await world.call('POST', '/api/tasks', task)).status).toBe(201)
  await eventually(() => expect(scopes()).toContain(`project:${carla.inboxId}`))
  const after = await makeProject(world, carla)
  await addMember(world, annas, anna, carla)
  await following(after.scope)
  await following(annas.scope)
  await appendEntries(world.server.deps, entry(after.scope), entry(annas.scope))
  await eventually(() => expect(scopes()).toEqual(expect.arrayContaining([after.scope, annas.scope])))
  await world.call('DELETE', `/api/projects/${annas.id}/members/${carla.id}`, { token: anna.token })
  await eventually(() => expect(running.notes()).toContain(`${annas.scope} is no longer yours to read`))
  running.process.kill('SIGINT')
  expect(await running.process.exited).toBe(0)
  await eventually(() => expect(running.notes()).toContain(`--scope ${after.scope} --cursor `))
  expect(running.notes()).not.toContain(`--scope ${annas.scope}`)
  expect(await sessionsOf(carla)).toHaveLength(1)
}, 30_000)

test('it follows as many scopes as a connection may have, and names the others', async () => {
  const many = await world.register('Many')
  for (let made = 0; made < 65; made += 1) await makeProject(world, many)
  await using running = run(['--url', world.url, '--token', many.token])
  const count = (text: string) => running.notes().split(text).length - 1
  await eventually(() => expect(count('Following ')).toBe(64), { timeoutMs: 25_000 })
  await eventually(() => expect(count('Not following project:')).toBeGreaterThan(0))
  expect(running.notes()).not.toContain('Not connected')
}, 60_000)

test('it exits quietly when its output is closed, and signs out', async () => {
  const dora = await world.register('Dora')
  const command = `"$0" "$1" tail --url ${world.url} --email ${dora.email} --json | head -1`
  const child = Bun.spawn(['sh', '-c', command, process.execPath, main], {
    stdout: 'pipe',
    stderr: 'pipe',
    env: { PATH: process.env['PATH'] ?? '', TASKTIDE_PASSWORD: testPassword },
  })
  const texts = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()])
  // `head` ends with the first event; the second finds no reader. More are written than needed: the moment at which
  // the command follows is not known here.
  await eventually(
    async () => {
      if (child.exitCode === null) await appendEntries(world.server.deps, entry(`project:${dora.inboxId}`))
      expect(child.exitCode).not.toBeNull()
    },
    { timeoutMs: 20_000, everyMs: 50 },
  )
  expect(await child.exited).toBe(0)
  const [out, notes] = await texts
  expect(linesOf(out)).toHaveLength(1)
  expect(linesOf(notes).filter((line) => !line.startsWith('Following '))).toEqual([])
  expect(await sessionsOf(dora)).toHaveLength(1)
}, 40_000)

test('it requests loopback addresses without a proxy', async () => {
  const proxy = { HTTP_PROXY: 'http://127.0.0.1:9', http_proxy: 'http://127.0.0.1:9' }
  await using running = run(['--url', world.url, '--email', anna.email, '--password', testPassword], proxy)
  await eventually(() => expect(running.notes()).toContain('Following user:'), { timeoutMs: 10_000 })
}, 20_000)

test('a line has time, type, id and cursor, and no terminal control sequences', () => {
  const line = eventLine({
    cursor: 'k3v9x1q8.11.4711',
    version: 17,
    at: '2026-11-21T00:15:18.914Z',
    type: 'task.updated',
    id: '01a1fb75-1d7d-71b4-a8e1-fc8b71090b9b',
    data: { title: 'Über\u001B[2J\u009B2J\u202E' },
    changed: ['status'],
  })
  expect(line).toBe(
    '00:15:18 task.updated         v17   "Über\\u001b[2J\uFFFD2J\uFFFD" [status]  k3v9x1q8.11.4711',
  )
})

test('dead letters are listed from the database', async () => {
  const project = await makeProject(world, anna)
  const [dead] = await world.entries(project.scope)
  await world.server.deps.db.transact(
    (tx) => tx`
      insert into dead_letter (consumer, shard, seq, error, attempts, entry)
      values ('notify', ${dead!.shard}, ${dead!.seq}, ${'a bug\nhere'}, 5, ${JSON.stringify(dead)}::text::jsonb)`,
  )
  await using running = run(['--dead'], { DATABASE_URL: world.databaseUrl })
  expect(await running.process.exited).toBe(0)
  await eventually(() => expect(running.out()).toHaveLength(1))
  expect(running.out()[0]).toEndWith(
    ` notify ${dead!.shard}.${dead!.seq} project.created after 5 attempts: "a bug\\nhere"`,
  )
}, 20_000)

test('a dead letter is requeued once, and what cannot be requeued is named', async () => {
  const bert = await world.register()
  const project = await makeProject(world, anna, { editor: bert })
  await world.ask(anna, 'POST', '/api/tasks', { title: 'T', projectId: project.id, assigneeId: bert.id })
  const entry = (await world.entries(project.scope)).find(({ type }) => type === 'task.created')!
  await world.server.deps.db.transact((tx) =>
    insertDeadLetter(tx, { consumer: 'notifications', entry, error: 'a bug', attempts: 5 }),
  )
  const letter = `notifications/${entry.shard}.${entry.seq}`
  const environment = { DATABASE_URL: world.databaseUrl, REDIS_URL: world.redisUrl }
  const dead = async (...args: string[]) => {
    await using running = run(['--dead', ...args], environment)
    const code = await running.process.exited
    await running[Symbol.asyncDispose]() // its output is complete
    return { code, out: running.out(), notes: running.notes() }
  }
  expect(await dead('--requeue', letter, '--requeue', 'notifications/3.999999')).toMatchObject({
    code: 1,
    out: [`${letter} was handled.`, 'notifications/3.999999 is no dead letter; --dead lists them.'],
  })
  expect(await dead('--requeue', letter.replace('/', ' '), '--json')).toMatchObject({
    code: 1,
    out: [
      JSON.stringify({ consumer: 'notifications', shard: entry.shard, seq: entry.seq, outcome: 'missing' }),
    ],
  })
  const { items } = await world.ask(bert, 'GET', '/api/notifications')
  expect(items.map(({ kind }: { kind: string }) => kind)).toEqual(['assigned'])
  expect(await dead('--requeue', 'notifications')).toMatchObject({ code: 2, out: [] })
  await using running = run(['--requeue', letter], environment)
  expect(await running.process.exited).toBe(2)
}, 60_000)
