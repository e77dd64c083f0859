// Every row of "Files and mails" in docs/starting.md is a worker that starts with parts that are set up wrongly: its sentence
// is logged once and is what readiness answers, without an address or a secret.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, testDatabase, testRedis } from '../support/environment.ts'
import { eventually } from '../support/eventually.ts'
import { startProgram, type Program } from '../support/program.ts'
import { startS3Server, type S3Server } from '../support/s3-server.ts'
import { startSmtp } from '../support/smtp.ts'
import { tlsFolder } from './parts.ts'

const text = await Bun.file(new URL('../../docs/starting.md', import.meta.url)).text()
const section = text.split('## Files and mails')[1]!.split('\n## ')[0]!
const rows = [...section.matchAll(/^\| ([^|`]+) \| `([^`]+)` \|$/gm)].map(
  ([, title, sentence]) => [title!, sentence!] as const,
)

const stack = new AsyncDisposableStack()
const secret = 's3cret-word'
let databaseUrl: string
let redisUrl: string
/** One that checks signatures. */
let s3: S3Server

beforeAll(async () => {
  databaseUrl = stack.use(await testDatabase()).url
  redisUrl = stack.use(await testRedis()).url
  s3 = stack.use(await startS3Server('s3rver'))
}, 60_000)

afterAll(() => stack.disposeAsync(), 30_000)

const bucket = (changes: Record<string, string>): Record<string, string> => ({
  ...s3.environment(),
  ...changes,
})

/** A folder of data in which a file has the place of a folder. */
const occupied = async (name: string): Promise<Record<string, string>> => {
  const dir = await mkdtemp(join(tmpdir(), 'tide-trouble-'))
  stack.defer(() => rm(dir, { recursive: true, force: true }))
  await mkdir(dir, { recursive: true })
  await writeFile(join(dir, name), '')
  return { TIDE_DATA: dir }
}

/** Row → the settings that meet it. */
const settings: Record<string, () => Record<string, string> | Promise<Record<string, string>>> = {
  'Wrong secret of the object store': () => bucket({ S3_SECRET_ACCESS_KEY: secret }),
  'Missing bucket': () => bucket({ S3_BUCKET: 'no-such-bucket' }),
  'Object store is not there': () => bucket({ S3_ENDPOINT: `http://127.0.0.1:${freePort()}` }),
  'Unknown host of the object store': () => bucket({ S3_ENDPOINT: 'http://no-such-host.invalid' }),
  'Certificate of the object store not trusted': () => {
    const server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      tls: {
        cert: Bun.file(join(tlsFolder, 'certificate.pem')),
        key: Bun.file(join(tlsFolder, 'key.pem')),
      },
      fetch: () => new Response(),
    })
    stack.defer(() => server.stop(true))
    return bucket({ S3_ENDPOINT: `https://localhost:${server.port}` })
  },
  'Folder of files is no folder': () => occupied('files'),
  'Wrong password of the mail server': async () => {
    const { port } = stack.use(await startSmtp())
    return { SMTP_URL: `smtp://user:${secret}@127.0.0.1:${port}` }
  },
  'Mail server is not there': () => ({ SMTP_URL: `smtp://127.0.0.1:${freePort()}` }),
  'Unknown host of the mail server': () => ({ SMTP_URL: 'smtp://no-such-host.invalid' }),
  'Certificate of the mail server not trusted': async () => {
    const { port } = stack.use(await startSmtp({ secure: true }))
    return { SMTP_URL: `smtps://localhost:${port}` }
  },
  'Folder of mails is no folder': () => occupied('mail'),
}

const linesOf = async (program: Program): Promise<Record<string, unknown>[]> =>
  (await program.output())
    .split('\n')
    .filter((line) => line.startsWith('{"level"'))
    .map((line) => JSON.parse(line))

test('every row has settings, and all settings have a row', () => {
  expect(rows.map(([title]) => title).toSorted()).toEqual(Object.keys(settings).toSorted())
})

describe('a worker starts', () => {
  test.each(rows)('%s', async (title, sentence) => {
    const environment = await settings[title]!()
    await using worker = await startProgram(
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the program reads the URLs and keys only
      { config: { databaseUrl, redisUrl, jwtKeys: [{ kid: 'k1', secret: 'x'.repeat(32) }] } as never },
      { args: ['worker'], environment: { WORKER_PORT: '0', ...environment } },
    )
    const part = sentence.startsWith('S3') || sentence.startsWith('files') ? 'storage' : 'mail'
    await eventually(
      async () =>
        expect(await (await fetch(`${worker.url}/readyz`)).json()).toMatchObject({
          status: 'degraded',
          parts: { [part]: 'degraded' },
          reasons: { [part]: sentence },
        }),
      { timeoutMs: 15_000 },
    )
    const lines = await linesOf(worker)
    expect(lines.filter(({ msg }) => msg === sentence)).toHaveLength(1)
    expect(JSON.stringify(lines)).not.toContain(secret)
  })
})
