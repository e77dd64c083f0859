// The raw endpoint as a foreign client sees it: the npm package `ws`, under Node where there is one.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { startWorld, type Person, type World } from '../support/world.ts'

let world: World
let anna: Person

beforeAll(async () => {
  world = await startWorld()
  anna = await world.register()
}, 30_000)
afterAll(() => world[Symbol.asyncDispose]())

interface Scenario {
  protocols?: string[]
  headers?: Record<string, string>
  options?: object
  steps?: object[]
}

interface Seen {
  protocol: string | null
  extensions: string | null
  status: number | null
  texts: string[]
  pongs: string[]
  code: number | null
  reason: string | null
  failure?: string
}

const runtime = Bun.which('node') ?? process.execPath

const see = async (scenario: Scenario): Promise<Seen> => {
  const file = join(import.meta.dir, 'foreign-client.mjs')
  const url = `${world.url.replace('http', 'ws')}/api/ws`
  const child = Bun.spawn([runtime, file, url, JSON.stringify([scenario])], {
    stdout: 'pipe',
    stderr: 'pipe',
    timeout: 20_000,
  })
  const [out, complaints] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  expect(complaints).toBe('')
  return JSON.parse(out) as Seen
}

const signedIn = (): string[] => ['tasktide.v1', `jwt.${anna.token}`]
const framesOf = ({ texts }: Seen): any[] => texts.map((text) => JSON.parse(text) as object)

test('it opens, with the subprotocol tasktide.v1 selected and no extension, and follows a scope (P-CON-1, P-FRM-5)', async () => {
  const seen = await see({
    protocols: signedIn(),
    options: { perMessageDeflate: true },
    steps: [
      { await: 'text' },
      { send: '{"t":"sub","rid":1,"scope":"user:me"}' },
      { await: 'text' },
      { await: 'text' },
      { close: [1000, 'done'] },
      { await: 'close' },
    ],
  })
  expect(seen).toMatchObject({ protocol: 'tasktide.v1', extensions: '', status: 101, code: 1000 })
  expect(framesOf(seen).map(({ t }) => t)).toEqual(['welcome', 'sub', 'synced'])
}, 30_000)

test('fragments, and pings between them, are understood (P-FRM-5)', async () => {
  const seen = await see({
    protocols: signedIn(),
    steps: [
      { await: 'text' },
      { fragments: ['{"t":', '"ping"', '', ',"ts":7}'] },
      { await: 'text' },
      { ping: 'are you there' },
      { await: 'pong' },
    ],
  })
  expect(framesOf(seen)[1]).toMatchObject({ t: 'pong', ts: 7 })
  expect(seen.pongs).toEqual(['are you there'])
}, 30_000)

test.each([
  ['a message over 64 KiB', { send: 'x'.repeat(65_537) }, 1009],
  ['a binary message', { binary: 'AAEC' }, 4500],
])(
  '%s closes with its own code (P-FRM-4)',
  async (_what, step, code) => {
    expect(
      await see({ protocols: signedIn(), steps: [{ await: 'text' }, step, { await: 'close' }] }),
    ).toMatchObject({
      code,
    })
  },
  30_000,
)

test.each([
  ['a bad token', ['tasktide.v1', 'jwt.nonsense'], 4401, 'token_expired'],
  ['no subprotocol', [], 4510, 'subprotocol_missing'],
  ['another version', ['tasktide.v9'], 4505, 'version_unsupported'],
])(
  '%s closes with a code and a reason (P-CON-4, P-CON-8)',
  async (_what, protocols, code, reason) => {
    expect(await see({ protocols, steps: [{ await: 'close' }] })).toMatchObject({ status: 101, code, reason })
  },
  30_000,
)

test('a bad token in a header is refused with 401 (P-CON-3)', async () => {
  const seen = await see({ protocols: ['tasktide.v1'], headers: { Authorization: 'Bearer nonsense' } })
  expect(seen).toMatchObject({ status: 401, protocol: null })
}, 30_000)
