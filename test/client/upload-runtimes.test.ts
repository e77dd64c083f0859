// Files by the client in Bun, Node and Chromium: progress, abort, downloads and their parts, uploads past the server that
// lose their connection, and what a program sees without a network. The store checks presigned requests as S3 does.
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, CDPSession, Page } from 'playwright-core'
import { createClient } from '../../packages/client/src/client.ts'
import { openWorker } from '../../src/app/compose-worker.ts'
import { seedDemo } from '../../src/domain/seed.ts'
import { freePort } from '../../src/app/free-port.ts'
import { createLog } from '../../src/log.ts'
import { browserTimeoutMs, startBrowser } from '../support/browser.ts'
import { eventually } from '../support/eventually.ts'
import { presignedGate, type PresignedGate } from '../support/presigned-gate.ts'
import { startS3Server } from '../support/s3-server.ts'
import { startWorld, type Person, type World } from '../support/world.ts'
import { quick } from './scripted.ts'
import { steps, type Step } from './upload-steps.ts'

const sources = join(import.meta.dir, '..', '..', 'packages', 'client', 'src')
const timing = { ...quick, requestMs: 15_000 }
const stack = new AsyncDisposableStack()
afterAll(() => stack.disposeAsync(), 30_000)
let world: World
let gate: PresignedGate
let ada: Person
let taskId: string
let browser: Browser
let folder: string

beforeAll(async () => {
  const s3 = stack.use(await startS3Server())
  gate = stack.use(await presignedGate(s3.port, s3.settings().secretAccessKey))
  world = stack.use(await startWorld({ ...s3.config(), s3PublicEndpoint: gate.url }))
  stack.use(await openWorker(world.config, createLog('worker', 'silent')))
  ada = await world.register()
  browser = await startBrowser()
  stack.defer(() => browser.close())
  folder = await mkdtemp(join(tmpdir(), 'tide-files-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
}, browserTimeoutMs)

beforeEach(async () => {
  taskId = (await world.ask(ada, 'POST', '/api/tasks', { title: 'Files' })).id
  gate.puts.length = 0
})

afterEach(() => {
  gate.refuseWith = null
})

const bundle = async (target: 'browser' | 'node', main: string): Promise<string> => {
  const entry = join(folder, `${target}.ts`)
  await Bun.write(entry, main)
  const { success, outputs, logs } = await Bun.build({ entrypoints: [entry], target })
  if (!success) throw new AggregateError(logs, 'the client does not bundle')
  return outputs[0]!.text()
}

const imports = `import { createClient } from '${sources}/client.ts'
  import { steps } from '${import.meta.dir}/upload-steps.ts'`

/** A runtime in which a step runs; without a network where the step is `offline`. */
interface Runtime extends AsyncDisposable {
  /** @param kept by another step. */
  run(step: Step, kept?: string): Promise<any>
}

const inBun = async (): Promise<Runtime> => ({
  async run(step, kept = '') {
    const url = step === 'offline' ? `http://127.0.0.1:${freePort()}` : world.url
    using client = createClient({ url, timing })
    await client.session.adopt(ada.session)
    return steps[step](client, taskId, kept)
  },
  [Symbol.asyncDispose]: async () => {},
})

const inNode = async (): Promise<Runtime | null> => {
  const node = Bun.which('node')
  if (!node) return null
  const program = join(folder, 'program.mjs')
  const main = `${imports}
    const [step, url, session, timing, taskId, kept] = process.argv.slice(2)
    const client = createClient({ url, timing: JSON.parse(timing) })
    await client.session.adopt(JSON.parse(session))
    console.log(JSON.stringify(await steps[step](client, taskId, kept)))
    client.close()`
  await Bun.write(program, await bundle('node', main))
  return {
    async run(step, kept = '') {
      const url = step === 'offline' ? `http://127.0.0.1:${freePort()}` : world.url
      const args = [step, url, JSON.stringify(ada.session), JSON.stringify(timing), taskId, kept]
      const child = Bun.spawn([node, program, ...args], {
        stdio: ['ignore', 'pipe', 'inherit'],
        timeout: 90_000,
      })
      const output = await new Response(child.stdout).text()
      expect(await child.exited).toBe(0) // nothing keeps a closed client's program running
      return JSON.parse(output)
    },
    [Symbol.asyncDispose]: async () => {},
  }
}

/** So slow that a file of 1 MB takes several of the 50 ms after which Chromium reports progress. */
const uploadBytesPerSecond = 4 * 1024 * 1024

const setNetwork = (devtools: CDPSession, offline: boolean) =>
  devtools.send('Network.emulateNetworkConditions', {
    offline,
    latency: 0,
    downloadThroughput: -1,
    uploadThroughput: uploadBytesPerSecond,
  })

const inChromium = async (): Promise<Runtime> => {
  const context = await browser.newContext({ bypassCSP: true }) // answers without a page forbid scripts
  const page: Page = await context.newPage()
  await page.goto(`${world.url}/livez`)
  const main = `${imports}
    globalThis.run = async (step, session, timing, taskId, kept) => {
      using client = createClient({ url: location.origin, timing })
      await client.session.adopt(session)
      return steps[step](client, taskId, kept)
    }`
  await page.addScriptTag({ content: await bundle('browser', main), type: 'module' })
  await page.waitForFunction('globalThis.run')
  const devtools = await context.newCDPSession(page)
  await devtools.send('Network.enable')
  return {
    async run(step, kept = '') {
      await setNetwork(devtools, step === 'offline')
      const args = [step, ada.session, timing, taskId, kept].map((arg) => JSON.stringify(arg)).join(', ')
      return page.evaluate(`run(${args})`)
    },
    [Symbol.asyncDispose]: () => context.close(),
  }
}

/** The task has this many rows, every object in the store is that of a shown row, and no temporary file is left. */
const expectLeft = (rowCount: number): Promise<void> =>
  eventually(
    async () => {
      const { db, storage } = world.server.deps
      const rows = await db.read(
        (sql) => sql<{ taskId: string; state: string; key: string }[]>`
      select task_id as "taskId", state, storage_key as key from attachments`,
      )
      const shown = new Set(rows.filter(({ state }) => state === 'ready').map(({ key }) => key))
      const others: string[] = []
      for await (const { key } of storage.list('attachments/')) if (!shown.has(key)) others.push(key)
      const files = await readdir(join(world.config.dataDir, 'uploads')).catch(() => [])
      const rowsOfTask = rows.filter((row) => row.taskId === taskId).length
      expect({ rows: rowsOfTask, others, files }).toEqual({ rows: rowCount, others: [], files: [] })
    },
    { timeoutMs: 20_000 },
  )

const readmeProgram = async (): Promise<string> => {
  const readme = await Bun.file(join(sources, '..', 'README.md')).text()
  const section = readme.split(/^## /m).find((text) => text.startsWith('Files'))!
  const [, program] = /```ts\n(.*?)```/s.exec(section)!
  return program!
    .replace("'@tasktide/client'", `'${sources}/client.ts'`)
    .replace('http://127.0.0.1:3000', world.url)
}

test('the program in the README uploads, downloads and deletes a file, in Node and Bun', async () => {
  await seedDemo(world.server.deps)
  const path = join(folder, 'readme.mjs')
  await Bun.write(path, await bundle('node', await readmeProgram()))
  for (const runtime of [process.execPath, Bun.which('node')]) {
    if (runtime === null) continue
    const child = Bun.spawn([runtime, path], { stdio: ['ignore', 'pipe', 'inherit'], timeout: 30_000 })
    const lines = (await new Response(child.stdout).text()).trim().split('\n')
    expect({ code: await child.exited, lines: lines.filter((line) => !line.endsWith('%')) }).toEqual({
      code: 0,
      lines: ['13 Launch', 'plan.md 13'],
    })
    expect(lines[0]).toBe('0 %')
  }
}, 60_000)

const expectAttached = (id: string, size: number): Promise<void> =>
  eventually(
    async () =>
      expect((await world.ask(ada, 'GET', `/api/tasks/${taskId}/attachments`)).items).toMatchObject([
        { id, size },
      ]),
    { timeoutMs: 20_000 },
  )

describe.each([
  ['Bun', inBun],
  ['Node', inNode],
  ['Chromium', inChromium],
] as const)('In %s', (name, open) => {
  let runtime: Runtime | null

  beforeAll(async () => {
    runtime = await open()
    if (runtime) stack.use(runtime)
    else console.log(`There is no ${name} on this machine: nothing to check here`)
  }, 30_000)

  const check = (title: string, body: (runtime: Runtime) => Promise<void>) =>
    test(title, async () => void (runtime && (await body(runtime))), 120_000)

  check('progress rises to the size of the file; the file and its parts come back', async (runtime) => {
    const { seen, type, ...rest } = await runtime.run('upload')
    expect(seen).toMatchObject({ first: 0, last: 1_000_000, isRising: true })
    expect(seen.reports).toBeGreaterThan(2)
    expect(rest).toEqual({
      sizes: [1_000_000, 2, 3],
      text: 'aaa',
      beyond: expect.stringContaining('range_not_satisfiable'),
    })
    expect(type).toMatch(/^text\/plain\b/)
  })

  check('an upload that is aborted half way rejects with the reason and leaves nothing', async (runtime) => {
    expect(await runtime.run('abort')).toEqual({
      name: 'Error',
      message: 'the user has pressed Cancel',
      isPartly: true,
      listed: 0,
    })
    await expectLeft(0)
  })

  check('a file goes past the server in the request that was signed', async (runtime) => {
    const { id, seen } = await runtime.run('direct')
    expect(gate.puts).toEqual([200])
    expect(seen).toMatchObject({ first: 0, last: 1_000_000, isRising: true })
    await expectAttached(id, 1_000_000)
  })

  check(
    'a connection that is lost half way is repeated from the first byte, and attached once',
    async (runtime) => {
      gate.cutNextAfter(500_000)
      const { id, seen } = await runtime.run('direct')
      expect(gate.puts).toEqual([0, 200])
      expect(seen).toMatchObject({ first: 0, last: 1_000_000 })
      await expectAttached(id, 1_000_000)
    },
  )

  check(
    'a file whose answer was lost is stored again under the same row, and attached once',
    async (runtime) => {
      gate.loseNextAnswer()
      const { id } = await runtime.run('direct')
      expect(gate.puts).toEqual([0, 200])
      await expectAttached(id, 1_000_000)
      await expectLeft(1)
    },
  )

  check(
    'a later run continues an interrupted upload under its reservation, from the first byte',
    async (runtime) => {
      const { kept } = await runtime.run('directInterrupted')
      expect(JSON.parse(kept)).toMatchObject({ size: 2_000_000, isStored: false })
      await expectLeft(1)
      const { id, size, states, seen } = await runtime.run('directResumed', kept)
      expect({ id, size, states, puts: gate.puts }).toEqual({
        id: JSON.parse(kept).id,
        size: 2_000_000,
        states: [true],
        puts: [200],
      })
      expect(seen).toMatchObject({ first: 0, last: 2_000_000, isRising: true })
      await expectAttached(id, 2_000_000)
      await expectLeft(1)
    },
  )

  check('a later run sends no file that is stored, announces it, and may do so again', async (runtime) => {
    const { kept } = await runtime.run('directStored')
    expect([JSON.parse(kept).isStored, gate.puts]).toEqual([true, [200]])
    for (const _run of ['the next', 'one more']) {
      const { id, states, seen } = await runtime.run('directResumed', kept)
      expect({ id, states, seen }).toMatchObject({
        id: JSON.parse(kept).id,
        states: [],
        seen: { reports: 0 },
      })
      await expectAttached(id, 2_000_000)
    }
    expect(gate.puts).toEqual([200])
    await expectLeft(1)
  })

  check(
    'another file is refused, and an expired upload says that another one has to begin',
    async (runtime) => {
      const wrong = { name: 'InvalidArgumentError', message: expect.stringContaining('2000001 bytes') }
      const expired = {
        name: 'UploadExpiredError',
        message: expect.stringContaining('Call uploadDirectly again'),
      }
      const { db } = world.server.deps
      for (const step of ['directInterrupted', 'directStored'] as const) {
        const pending = JSON.parse((await runtime.run(step)).kept)
        await db.transact(
          (tx) =>
            tx`update attachments set expires_at = now() - interval '1 minute' where id = ${pending.id}`,
        )
        gate.refuseWith = 403 // as S3 does from then on
        // Not by the clock of this machine alone: before its time the same answer has another cause.
        if (step === 'directInterrupted')
          expect((await runtime.run('directResumedWrongly', JSON.stringify(pending)))[1].name).toBe(
            'UploadRefusedError',
          )
        pending.expiresAt = new Date(Date.now() - 60_000).toISOString()
        expect(await runtime.run('directResumedWrongly', JSON.stringify(pending))).toEqual([wrong, expired])
        gate.refuseWith = null
        await db.transact((tx) => tx`delete from attachments where id = ${pending.id}`)
      }
      await expectLeft(0)
    },
  )

  check('a store that refuses is not asked again, and the error names the refusal', async (runtime) => {
    gate.refuseWith = 403
    expect(await runtime.run('directRefused')).toEqual({
      name: 'UploadRefusedError',
      message: expect.stringContaining('403'),
    })
    expect(gate.puts).toEqual([403])
  })

  check(
    'an aborted upload past the server stores no object and is repeated on one reservation',
    async (runtime) => {
      expect(await runtime.run('directAborted')).toEqual({
        name: 'Error',
        message: 'the user has pressed Cancel',
      })
      expect(gate.puts).toEqual([])
      await expectLeft(1)
      const { id } = await runtime.run('directAgain')
      await expectAttached(id, 2_000_000)
      await expectLeft(1)
    },
  )

  check('without a network the error says so', async (runtime) => {
    const text = name === 'Chromium' ? 'the device is offline' : 'the server is down'
    expect(await runtime.run('offline')).toEqual([
      { name: 'NetworkError', message: expect.stringContaining(text) },
      { name: 'NetworkError', message: expect.stringContaining(text) },
    ])
  })
})
