// `up` without a mail server: it says where mails go, and the links in them lead to the port it took.
import { expect, test } from 'bun:test'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { plainPartOf } from '../support/smtp.ts'

test('a forgotten password is reset by the link in a file', async () => {
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'tide-up-mails-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const database = stack.use(await testDatabase())
  const redis = stack.use(await testRedis())
  const { TASKTIDE_LAUNCHER: _launcher, ...env } = process.env
  const child = Bun.spawn([process.execPath, join(import.meta.dir, '../../bin/up.ts')], {
    env: {
      ...env,
      DATABASE_URL: database.url,
      REDIS_URL: redis.url,
      TIDE_DATA: join(folder, 'data'),
      PORT: '0',
      WORKER_PORT: '0',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  stack.defer(async () => {
    child.kill('SIGINT')
    await child.exited
  })
  let block = ''
  const decoder = new TextDecoder()
  for await (const chunk of child.stdout) {
    block += decoder.decode(chunk)
    if (block.includes('Ctrl-C')) break
  }
  const url = /API {9}(\S+)\/api/.exec(block)![1]!
  const mails = join(folder, 'data', 'mail')
  expect(block).toContain(`Mails       ${mails} (files`)

  const post = (path: string, body: object) =>
    fetch(url + path, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(body),
    })
  const email = 'user@example.com'
  expect((await post('/api/auth/password-reset/request', { email })).status).toBe(202)
  const text = await eventually(
    async () => {
      const name = (await readdir(mails)).find((one) => one.endsWith('.eml'))!
      return plainPartOf(await readFile(join(mails, name), 'utf8'))
    },
    { timeoutMs: 60_000, everyMs: 100 },
  )
  const [, token] = new RegExp(`${url}/api/pages/reset-password#token=(\\S+)`).exec(text)!
  const password = 'another horse battery'
  expect((await post('/api/auth/password-reset/confirm', { token, password })).status).toBe(204)
  expect((await post('/api/auth/login', { email, password })).status).toBe(200)
}, 180_000)
