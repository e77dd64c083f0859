// The client in other runtimes than Bun: bundled into a Chromium page, with IndexedDB and the refresh cookie, and into
// a program for Node, which has no WebSocket before 22 and polls.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Page } from 'playwright-core'
import type { createClient } from '../../packages/client/src/client.ts'
import type { indexedDbStorage } from '../../packages/client/src/indexed-db-storage.ts'
import { browserTimeoutMs, startBrowser } from '../support/browser.ts'
import { eventually } from '../support/eventually.ts'
import { startWorld, testPassword, type World } from '../support/world.ts'

declare const Tasktide: { createClient: typeof createClient; indexedDbStorage: typeof indexedDbStorage }

const sources = join(import.meta.dir, '..', '..', 'packages', 'client', 'src')
const stack = new AsyncDisposableStack()
let world: World
let browser: Browser

const bundle = async (target: 'browser' | 'node', main: string): Promise<string> => {
  const folder = mkdtempSync(join(tmpdir(), 'tide-client-'))
  stack.defer(() => rmSync(folder, { recursive: true, force: true }))
  await Bun.write(join(folder, 'main.ts'), main.replaceAll('client:', `${sources}/`))
  const { success, outputs, logs } = await Bun.build({ entrypoints: [join(folder, 'main.ts')], target })
  if (!success) throw new AggregateError(logs, 'the client does not bundle')
  return outputs[0]!.text()
}

beforeAll(async () => {
  world = stack.use(await startWorld())
  browser = await startBrowser()
  stack.defer(() => browser.close())
}, browserTimeoutMs)
afterAll(() => stack.disposeAsync())

/** A page of the server's own origin with the client in it; each shares its context's storage and cookies. */
const openPage = async (context: Awaited<ReturnType<Browser['newContext']>>): Promise<Page> => {
  const script = await bundle(
    'browser',
    `import { createClient } from 'client:client.ts'
     import { indexedDbStorage } from 'client:indexed-db-storage.ts'
     globalThis.Tasktide = { createClient, indexedDbStorage }`,
  )
  const page = await context.newPage()
  // Served by the server itself: Chromium lets a page without a loopback origin open no socket to loopback.
  await page.goto(`${world.url}/livez`)
  await page.addScriptTag({ content: script, type: 'module' })
  await page.waitForFunction('globalThis.Tasktide')
  return page
}

test('In Chromium: a socket, optimistic writes, the cookie for the refresh, and IndexedDB over a reload', async () => {
  const email = `ada-${Bun.randomUUIDv7()}@example.com`
  await using context = await browser.newContext({ bypassCSP: true }) // answers without a page forbid scripts
  const page = await openPage(context)
  const account = { email, password: testPassword }
  const projectId = await page.evaluate(async ({ email, password }) => {
    const outbox = Tasktide.indexedDbStorage('writes')
    const client = Tasktide.createClient({ url: location.origin, useCookie: true, outbox })
    await client.auth.register({ email, password, name: 'Ada' })
    const own = client.live()
    await own.ready
    const { id } = own.current.projects[0]!
    const view = client.project(id).live()
    await view.ready
    const write = view.create({ title: 'from a browser' })
    if (view.current.tasks.length !== 1) throw new Error('not seen at once')
    await write.settled
    for (const endsAt = Date.now() + 5_000; view.state !== 'live';) {
      if (Date.now() > endsAt) throw new Error(view.state)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    if (client.connection.kind !== 'socket') throw new Error(client.connection.kind)
    // From here on this page is offline.
    Object.assign(globalThis, { fetch: () => Promise.reject(new TypeError('offline')) })
    view.create({ title: 'written offline' })
    view.update(write.taskId, { status: 'done' })
    for (const endsAt = Date.now() + 5_000; (await outbox.load()).length < 2;)
      if (Date.now() > endsAt) throw new Error('not stored')
    return id
  }, account)
  await page.close()

  const next = await openPage(context)
  const shown = await next.evaluate(async (projectId) => {
    const outbox = Tasktide.indexedDbStorage('writes')
    // No sign-in: the cookie identifies the user.
    const client = Tasktide.createClient({ url: location.origin, useCookie: true, outbox })
    const view = client.project(projectId).live()
    await view.ready
    for (
      const endsAt = Date.now() + 10_000;
      client.outbox.pending.length > 0 || (await outbox.load()).length > 0;
    ) {
      if (Date.now() > endsAt) throw new Error('not sent')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return view.current.tasks.map(({ title, status }) => `${title}: ${status}`)
  }, projectId)
  expect(shown).toEqual(['from a browser: done', 'written offline: todo'])
  const entries = await world.entries(`project:${projectId}`)
  expect(entries.filter(({ op }) => op !== null)).toHaveLength(3)
}, 60_000)

test('In Chromium: a page reloaded while the server is away shows the last state as stale and continues when it is back', async () => {
  const email = `ada-${Bun.randomUUIDv7()}@example.com`
  await using context = await browser.newContext({ bypassCSP: true })
  const page = await openPage(context)
  const { projectId, token } = await page.evaluate(
    async ({ email, password }) => {
      const storage = Tasktide.indexedDbStorage('kept')
      const timing = { persistDelayMs: 20 }
      const client = Tasktide.createClient({
        url: location.origin,
        useCookie: true,
        outbox: storage,
        views: storage,
        timing,
      })
      await client.auth.register({ email, password, name: 'Ada' })
      const own = client.live()
      await own.ready
      const { id } = own.current.projects[0]!
      const view = client.project(id).live()
      await view.ready
      await view.create({ title: 'kept' }).settled
      for (
        const endsAt = Date.now() + 10_000;
        !(await storage.loadView(`project:${id}`))?.includes('kept');
      ) {
        if (Date.now() > endsAt) throw new Error('not kept')
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      for (const endsAt = Date.now() + 10_000; (await storage.viewKeys()).length < 2;) {
        if (Date.now() > endsAt) throw new Error('the own view is not kept')
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
      return { projectId: id, token: await client.session.token() }
    },
    { email, password: testPassword },
  )
  await page.close()
  await world.call('POST', '/api/tasks', { token, body: { title: 'missed' } })

  const next = await openPage(context)
  const seen = await next.evaluate(async (projectId) => {
    const storage = Tasktide.indexedDbStorage('kept')
    let isAway = true
    const [realFetch, RealSocket] = [fetch.bind(globalThis), WebSocket]
    const client = Tasktide.createClient({
      url: location.origin,
      useCookie: true,
      outbox: storage,
      views: storage,
      fetch: (url, init) => (isAway ? Promise.reject(new TypeError('away')) : realFetch(url, init)),
      WebSocket: class extends RealSocket {
        constructor(url: string, protocols: string[]) {
          super(isAway ? 'ws://127.0.0.1:9/' : url, protocols)
        }
      },
    })
    const [view, own] = [client.project(projectId).live(), client.live()]
    await Promise.all([view.ready, own.ready])
    const titles = (): string[] => view.current.tasks.map(({ title }) => title)
    const before = [view.state, own.state, own.current.user!.name, ...titles()]
    isAway = false
    for (const endsAt = Date.now() + 20_000; view.state !== 'live';) {
      if (Date.now() > endsAt) throw new Error(view.state)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const after = [view.current.staleSince, ...titles()]
    await client.auth.signOut()
    for (const endsAt = Date.now() + 10_000; (await storage.viewKeys()).length > 0;) {
      if (Date.now() > endsAt) throw new Error('not removed')
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return { before, after }
  }, projectId)
  expect(seen).toEqual({ before: ['stale', 'stale', 'Ada', 'kept'], after: [null, 'kept', 'missed'] })
}, 60_000)

test('In Chromium: a storage that is cleared while the page is open is created again', async () => {
  await using context = await browser.newContext({ bypassCSP: true })
  const page = await openPage(context)
  const outcome = await page.evaluate(async () => {
    const storage = Tasktide.indexedDbStorage('cleared')
    const at = new Date().toISOString()
    const write = {
      op: 'one',
      by: null,
      order: 1,
      projectId: 'p',
      taskId: 't',
      baseVersion: 1,
      before: {},
      at,
    }
    await storage.put({ ...write, change: { kind: 'delete' } })
    const request = indexedDB.deleteDatabase('cleared')
    const cleared = await new Promise<string>((resolve) => {
      request.addEventListener('success', () => resolve('cleared'))
      request.addEventListener('blocked', () => resolve('blocked'))
    })
    await storage.put({ ...write, op: 'two', change: { kind: 'delete' } })
    return [cleared, ...(await storage.load()).map(({ op }) => op)]
  })
  expect(outcome).toEqual(['cleared', 'two'])
}, 60_000)

test('In Node: the same client, with a socket where there is one and by long polls where not', async () => {
  const node = Bun.which('node')
  if (!node) return console.log('There is no Node on this machine: nothing to check here')
  const ada = await world.register()
  const program = await bundle(
    'node',
    `import { createClient } from 'client:client.ts'
     const client = createClient({ url: process.argv[2] })
     await client.session.adopt(JSON.parse(process.argv[3]))
     const view = client.project(process.argv[4]).live()
     await view.ready
     await view.create({ title: 'from Node' }).settled
     let line = ''
     const look = () => {
       if (view.current.tasks.length < 2 || line) return
       line = client.connection.kind + ' ' + view.current.tasks.map(({ title }) => title).join(', ')
       console.log(line)
       client.close()
     }
     view.onChange(look)
     console.log('ready')
     look() // the other task may be there already`,
  )
  const path = join(mkdtempSync(join(tmpdir(), 'tide-node-')), 'program.mjs')
  stack.defer(() => rmSync(join(path, '..'), { recursive: true, force: true }))
  await Bun.write(path, program)
  const args = [world.url, JSON.stringify(ada.session), ada.inboxId]
  const child = Bun.spawn([node, path, ...args], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 20_000 })
  const lines = new Response(child.stdout).text()
  await eventually(
    async () => {
      const { body } = await world.call('GET', '/api/tasks', { token: ada.token })
      expect(body.items).toHaveLength(1)
    },
    { timeoutMs: 10_000 },
  )
  await world.call('POST', '/api/tasks', { token: ada.token, body: { title: 'from elsewhere' } })
  const hasSocket =
    Number(/^v(\d+)/.exec(await new Response(Bun.spawn([node, '--version']).stdout).text())![1]) >= 22
  expect(await lines).toBe(`ready\n${hasSocket ? 'socket' : 'poll'} from Node, from elsewhere\n`)
  expect(await child.exited).toBe(0) // nothing keeps a closed client's program running
}, 40_000)
