// Lines of a process reach standard output whole, in order and at its end, whatever ends it and however its reader
// behaves; a reader that stops costs bounded memory and no time of the process.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LineOutput } from '../src/line-output.ts'

const root = new URL('..', import.meta.url).pathname

let directory: string

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tide-lines-'))
})

afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Writes 500 lines of requests and one of another kind, then ends as `ending` says. */
const run = (ending: string) =>
  Bun.spawn(
    [
      process.execPath,
      '-e',
      `import { createLog, createRequestLog } from './src/log.ts'
       const log = createLog('test', 'info')
       const logRequest = createRequestLog(log)
       const line = (n) => ({ requestId: String(n), method: 'GET', path: '/p', status: 200, userId: undefined, durationMs: 1 })
       for (let n = 0; n < 250; n += 1) logRequest(line(n))
       log.warn('between')
       for (let n = 250; n < 500; n += 1) logRequest(line(n))
       ${ending}`,
    ],
    { cwd: root, stdout: 'pipe', stderr: 'pipe' },
  )

const expected = [
  ...Array.from({ length: 250 }, (_, n) => String(n)),
  'between',
  ...Array.from({ length: 250 }, (_, n) => String(n + 250)),
]

const linesOf = (text: string): Record<string, unknown>[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))

test.each([
  ['the end of its work', ''],
  ['process.exit', 'process.exit(3)'],
  ['an error that nothing catches', 'throw new Error("planted")'],
  ['such an error in a timer', 'setTimeout(() => { throw new Error("planted") })'],
  ['a rejection that nothing catches', 'Promise.reject(new Error("planted"))'],
  ['SIGTERM', 'process.on("SIGTERM", () => process.exit(0)); process.kill(process.pid, "SIGTERM")'],
])('a process that ends by %s has written every line, in order', async (_what, ending) => {
  const child = run(ending)
  const lines = linesOf(await new Response(child.stdout).text())
  expect(lines.map(({ requestId, msg }) => requestId ?? msg)).toEqual(expected)
  await child.exited
})

/** Runs the code, which writes each line twice: by pino, then by hand. Returns the lines, the equal pairs checked. */
const pairsBy = async (code: string): Promise<Record<string, unknown>[]> => {
  const child = Bun.spawn([process.execPath, '-e', code], { cwd: root, stdout: 'pipe' })
  const lines = linesOf(await new Response(child.stdout).text())
  expect(lines).toHaveLength(4)
  for (const [byPino, byHand] of [lines.slice(0, 2), lines.slice(2)]) {
    expect(Object.keys(byHand!)).toEqual(Object.keys(byPino!))
    expect({ ...byHand, time: null }).toEqual({ ...byPino, time: null })
  }
  return lines
}

test('the line of a request has the members and the order of any other', async () => {
  const lines = await pairsBy(
    `import { createLog, createRequestLog } from './src/log.ts'
       const log = createLog('test', 'info')
       const line = { requestId: 'a/b', method: 'GET', path: '/x"\\u2028y', status: 200, userId: 'u', durationMs: 1.25 }
       log.info(line, 'request')
       createRequestLog(log)(line)
       createRequestLog(createLog('test', 'warn'))(line)
       const traced = { requestId: 'a', traceId: '4bf92f3577b34da6a3ce929d0e0e4736', parentSpanId: '00f067aa0ba902b7', method: 'GET', path: '/', status: 200, userId: 'u', durationMs: 1 }
       log.info(traced, 'request')
       createRequestLog(log)(traced)`,
  )
  expect(lines.map(({ parentSpanId }) => parentSpanId)).toEqual([
    undefined,
    undefined,
    '00f067aa0ba902b7',
    '00f067aa0ba902b7',
  ])
})

test('the line of a connection has the members and the order of any other', async () => {
  await pairsBy(
    `import { createLog, createConnectionLog } from './src/log.ts'
       const log = createLog('test', 'info')
       const line = { connection: 'c', requestId: 'r', userId: 'u', code: 1000, durationMs: 12 }
       log.info({ ...line, userId: undefined }, 'connection')
       createConnectionLog(log)({ ...line, userId: '' })
       log.info({ connection: 'c', requestId: 'r', userId: 'u', code: 1000, durationMs: 12 }, 'connection')
       createConnectionLog(log)(line)
       createConnectionLog(createLog('test', 'warn'))(line)`,
  )
})

/** Runs the code with `log` and returns the messages of its lines; those that are no JSON as they are. */
const messagesOf = async (code: string): Promise<unknown[]> => {
  const child = Bun.spawn(
    [
      process.execPath,
      '-e',
      `import { createLog, holdLogs, releaseLogs } from './src/log.ts'
       holdLogs()
       const log = createLog('test', 'info')
       ${code}`,
    ],
    { cwd: root, stdout: 'pipe' },
  )
  const text = await new Response(child.stdout).text()
  return text
    .trimEnd()
    .split('\n')
    .map((line) => (line.startsWith('{') ? JSON.parse(line).msg : line))
}

test('lines that are held wait for the line that goes before them, in their order', async () => {
  const code = `log.info('one'); log.warn('two'); setTimeout(() => { releaseLogs('first'); log.info('three') }, 100)`
  expect(await messagesOf(code)).toEqual(['first', 'one', 'two', 'three'])
})

test('lines that are held are written when the process ends instead', async () => {
  expect(await messagesOf(`log.info('one'); log.fatal('two'); process.exit(78)`)).toEqual(['one', 'two'])
})

test('lines that are held are bounded like those of a reader that stops', async () => {
  const code = `for (let n = 0; n < 6_000; n += 1) log.info('x'.repeat(1_000)); releaseLogs('first')`
  const lines = await messagesOf(code)
  expect(lines[0]).toBe('first')
  expect(lines.at(-1)).toBe('standard output is behind, lines dropped')
  expect(lines.length).toBeGreaterThan(3_000)
  expect(lines.length).toBeLessThan(5_000)
})

test('a reader that goes away does not end the process', async () => {
  const child = run('setTimeout(() => { log.info("later"); console.error("alive") }, 10)')
  await child.stdout.cancel()
  expect(await new Response(child.stderr).text()).toContain('alive')
  expect(await child.exited).toBe(0)
})

/** A pipe with a name; its reader takes nothing until it is asked. */
const pipe = (name: string) => {
  const path = join(directory, name)
  if (Bun.spawnSync(['mkfifo', path]).exitCode !== 0) throw new Error('mkfifo failed')
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(path, constants.O_WRONLY)
  return {
    writer,
    take: () => {
      const buffer = Buffer.alloc(1024 * 1024)
      try {
        return buffer.subarray(0, readSync(reader, buffer)).toString()
      } catch (error) {
        if (error instanceof Error && 'code' in error && error.code === 'EAGAIN') return ''
        throw error
      }
    },
    [Symbol.dispose]: () => {
      closeSync(writer)
      closeSync(reader)
    },
  }
}

const describeDropped = (lines: number): string => `dropped ${lines}\n`

test('a reader that stops keeps at most 4 MiB waiting, and learns how many lines were dropped', () => {
  using target = pipe('stopped')
  using output = new LineOutput(target.writer, { describeDropped })
  const line = `${'x'.repeat(999)}\n`
  const added = 8_000
  for (let n = 0; n < added; n += 1) output.add(line) // 8 MB into a pipe of 64 KiB, without waiting
  let text = ''
  for (let reads = 0; reads < 10_000 && !text.includes('dropped'); reads += 1) {
    text += target.take()
    output.flush()
  }
  for (let part = target.take(); part !== ''; part = target.take()) text += part
  const lines = text.trimEnd().split('\n')
  const dropped = Number(lines.find((one) => one.startsWith('dropped'))!.split(' ')[1])
  expect(lines.filter((one) => one.length === 999)).toHaveLength(added - dropped)
  expect(lines.length).toBe(added - dropped + 1)
  expect(dropped).toBeGreaterThan(added / 4)
})

test('each write to a pipe is whole lines of at most 4 KiB, and a longer line is not lost', () => {
  using target = pipe('pieces')
  const output = new LineOutput(target.writer, { describeDropped })
  const sent = Array.from({ length: 100 }, (_, n) => `${String(n)}${'y'.repeat((n * 37) % 900)}`)
  sent[50] = `50${'z'.repeat(10_000)}`
  for (const line of sent) output.add(`${line}\n`)
  output.flush()
  let text = ''
  for (let part = target.take(); part !== ''; part = target.take()) text += part
  expect(text.trimEnd().split('\n')).toEqual(sent)
  output[Symbol.dispose]()
})

test('processes on one pipe do not mix their lines', async () => {
  const path = join(directory, 'shared.log')
  const script = `import { LineOutput } from './src/line-output.ts'
    const output = new LineOutput(1, { describeDropped: () => '' })
    for (let n = 0; n < 20_000; n += 1) output.add(process.argv.at(-1).repeat(200) + '\\n')
    output.finish()`
  const program = `("$0" -e "$1" a & "$0" -e "$1" b & "$0" -e "$1" c & wait) | cat > "$2"`
  const shell = Bun.spawn(['sh', '-c', program, process.execPath, script, path], { cwd: root })
  expect(await shell.exited).toBe(0)
  const lines = readFileSync(path, 'utf8').trimEnd().split('\n')
  expect(lines).toHaveLength(60_000)
  expect(lines.filter((line) => !/^(?:a{200}|b{200}|c{200})$/.test(line))).toEqual([])
}, 30_000)
