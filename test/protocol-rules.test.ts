// docs/protocol.md against the code and the tests: every rule is quoted by a test, every example is a frame as
// model/frames.ts has it, every table says what the code says.
import { expect, test } from 'bun:test'
import { Glob } from 'bun'
import { join } from 'node:path'
import { Value } from '@sinclair/typebox/value'
import { eventTypes } from '../src/model/event.ts'
import { clientFrames, closeCodes, serverFrames } from '../src/model/frames.ts'
import { heartbeat, limits, parseFrame } from '../src/ws/protocol.ts'
import { faultOf, type Frame } from './support/socket.ts'

const root = join(import.meta.dir, '..')
const text = await Bun.file(join(root, 'docs', 'protocol.md')).text()
const rules = [...text.matchAll(/^- \*\*([PC]-[A-Z]+-\d+)\*\*/gm)].map(([, id]) => id!)

const quoted = new Set(['P-CLO-1']) // here, below
for await (const path of new Glob('test/**/*.ts').scan({ cwd: root })) {
  if (path === 'test/protocol-rules.test.ts') continue
  for (const [id] of (await Bun.file(join(root, path)).text()).matchAll(/\b[PC]-[A-Z]+-\d+\b/g))
    quoted.add(id)
}

test('every rule has one number, and every number quoted is a rule', () => {
  expect(rules.length).toBeGreaterThan(60)
  expect(rules.filter((id, index) => rules.indexOf(id) !== index)).toEqual([])
  expect([...quoted].filter((id) => !rules.includes(id))).toEqual([])
})

test('every rule is quoted by a test', () => {
  expect(rules.filter((id) => !quoted.has(id))).toEqual([])
})

test('every example is a frame of the protocol, and every frame has one', () => {
  const seen = new Set<string>()
  for (const [, block] of text.matchAll(/^```json\n([^`]*)^```/gm)) {
    for (const line of block!.trim().split('\n')) {
      const frame = JSON.parse(line) as Frame
      const isServer = faultOf(frame) === null
      const schema = clientFrames[frame.t as keyof typeof clientFrames]
      const isClient = schema !== undefined && Value.Check(schema, frame) && parseFrame(line).t === frame.t
      expect([line, isServer || isClient]).toEqual([line, true])
      if (isServer) seen.add(`server ${frame.t}`)
      if (isClient) seen.add(`client ${frame.t}`)
    }
  }
  const all = [
    ...Object.keys(clientFrames).map((t) => `client ${t}`),
    ...Object.keys(serverFrames).map((t) => `server ${t}`),
  ]
  expect(all.filter((name) => !seen.has(name))).toEqual([])
})

test('the limits and the heartbeat in the example are those there are', () => {
  const line = /^\{"t":"welcome".*$/m.exec(text)![0]
  expect(JSON.parse(line)).toMatchObject({ heartbeat, limits })
})

test('P-CLO-1 the table of close codes has every code with its word', () => {
  const rows = [...text.matchAll(/^\| (\d{4}) \| `(\w+)` \|/gm)].map(([, code, word]) => [word, Number(code)])
  expect(Object.fromEntries(rows)).toEqual(closeCodes)
})

test('the table of events has every type once', () => {
  const rows = text.matchAll(/^\| ((?:`[a-z]+\.[a-z]+` ?)+)\|/gm)
  const named = [...rows].flatMap(([, cell]) => [...cell!.matchAll(/`([a-z.]+)`/g)].map(([, type]) => type!))
  expect(named.toSorted()).toEqual([...eventTypes].toSorted())
})

test('the tables of reasons and errors have every word', () => {
  const wordsIn = (schema: object): unknown => Reflect.get(schema, 'enum')
  const named = [...text.matchAll(/^\| `(\w+)` \| /gm)].flatMap(([, word]) =>
    ['code', 'reason'].includes(word!) ? [] : word!,
  )
  expect(named.toSorted()).toEqual(
    [wordsIn(serverFrames.error.properties.code), wordsIn(serverFrames.resync.properties.reason)]
      .flat()
      .map(String)
      .toSorted(),
  )
})
