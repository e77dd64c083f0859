// What a log line may hold: never a secret that a library put into its error, and an outage once a minute.
import { expect, test } from 'bun:test'
import { AppError, messageOf } from '../src/errors.ts'
import { describeError } from '../src/log.ts'

test('of an error only its name, message, code, stack and cause are logged, whatever a library hangs on it', () => {
  const driver = Object.assign(new Error('WRONGPASS invalid username-password pair'), {
    code: 'WRONGPASS',
    command: { name: 'auth', args: ['s3cret-word'] },
    parameters: ['s3cret-word'],
    detail: 'Key (email)=(me@example.com) already exists.',
    url: 'https://me:s3cret-word@example.com',
  })
  const described = describeError(new AppError('unavailable', undefined, { cause: driver }))
  expect(described).toMatchObject({
    type: 'AppError',
    cause: { type: 'Error', code: 'WRONGPASS', message: 'WRONGPASS invalid username-password pair' },
  })
  expect(Object.keys(described.cause!).toSorted()).toEqual(['code', 'message', 'stack', 'type'])
  expect(JSON.stringify(described)).not.toMatch(/s3cret-word|me@example/)
})

test('URLs in messages and stacks lose what stands before their host', () => {
  const urls = [
    'redis://:s3cret-word@cache:6379/0',
    'rediss://me:s3cret-word@cache',
    'postgres://me:s3cret-word@db/tasktide?host=/run',
    'postgres://me:s3cret/word@p@db/tasktide',
    'https://me:s3cret-word@example.com/x',
  ]
  for (const url of urls) {
    const error = new Error(`cannot reach ${url}, giving up`)
    const text = JSON.stringify([describeError(error), messageOf(error), messageOf(url)])
    expect(text).not.toMatch(/s3cret|word@/)
    expect(text).toContain('://[redacted]@')
  }
  expect(messageOf(new Error('see https://example.com/a and write to me'))).toBe(
    'see https://example.com/a and write to me',
  )
})

test('a chain of causes ends', () => {
  const error = new Error('round')
  error.cause = error
  expect(JSON.stringify(describeError(error)).split('round').length).toBeLessThan(20)
})

test('a line that is limited is written once a minute for its key, by all children of a log together', async () => {
  const script = `
    import { createLog } from './src/log.ts'
    const log = createLog('test', 'info')
    for (let n = 0; n < 3; n += 1) {
      log.warn({ n, oncePerMinute: 'away' }, 'away')
      log.child({ part: 'other' }).warn({ n, oncePerMinute: 'away' }, 'away')
      log.info({ n }, 'free')
    }
    log.warn({ oncePerMinute: 'other' }, 'another key')
    const now = performance.now.bind(performance)
    performance.now = () => now() + 60_001
    log.warn({ oncePerMinute: 'away' }, 'away')`
  const child = Bun.spawn([process.execPath, '-e', script], {
    cwd: new URL('..', import.meta.url).pathname,
    stdout: 'pipe',
  })
  const lines = (await new Response(child.stdout).text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map(({ msg, repeated }) => [msg, repeated])).toEqual([
    ['away', undefined],
    ['free', undefined],
    ['free', undefined],
    ['free', undefined],
    ['another key', undefined],
    ['away', 5],
  ])
  expect(JSON.stringify(lines)).not.toContain('oncePerMinute')
})

test('a refusal for want of room or time is one warning a minute without a stack, a failure an error', async () => {
  const script = `
    import { AppError, overloaded, unavailable } from './src/errors.ts'
    import { problemAnswer } from './src/http/errors.ts'
    import { createLog } from './src/log.ts'
    const log = createLog('test', 'info')
    const trace = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', parentSpanId: '00f067aa0ba902b7' }
    const request = { id: 'one', path: '/api/tasks', trace }
    for (let n = 0; n < 100; n += 1) {
      problemAnswer(overloaded('A body did not arrive in time'), request, log)
      problemAnswer(new AppError('rate_limited'), request, log)
    }
    problemAnswer(unavailable(new Error('no answer')), request, log)`
  const child = Bun.spawn([process.execPath, '-e', script], {
    cwd: new URL('..', import.meta.url).pathname,
    stdout: 'pipe',
  })
  const lines = (await new Response(child.stdout).text())
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.map(({ level, msg, err }) => [level, msg, err === undefined])).toEqual([
    ['warn', 'A body did not arrive in time', true],
    ['error', 'no answer', false],
  ])
  for (const line of lines)
    expect(line).toMatchObject({
      requestId: 'one',
      traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
      parentSpanId: '00f067aa0ba902b7',
    })
})
