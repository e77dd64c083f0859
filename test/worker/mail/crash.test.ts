// Whatever fails, each mail is sent at least once; it is repeated only where a worker was killed after the server took
// it, with the same Message-ID, at most one mail a kill.
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { openRedis } from '../../../src/redis/connection.ts'
import { createLog } from '../../../src/log.ts'
import { eventually } from '../../support/eventually.ts'
import type { Person, World } from '../../support/world.ts'
import { variantEnvironment, workerFailpoints } from '../../chaos/variants.ts'
import { readyPort, spawnWorker, withWorkers } from '../rig.ts'
import { openMailbox, type Mailbox } from './mailbox.ts'

let mailbox: Mailbox
let world: World
let owner: Person
let projectId: string
let readers: Person[]

beforeEach(async () => {
  mailbox = await openMailbox()
  ;({ world } = mailbox)
  await withWorkers(1, mailbox.settings, async () => {}) // installs the consumers
  ;({ owner } = await mailbox.people('owner'))
  projectId = (await world.project(owner)).id
  readers = Object.values(await mailbox.people('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'))
}, 60_000)

afterEach(() => mailbox[Symbol.asyncDispose](), 30_000)

/** Each is added to the project: one mail each. */
const inviteAll = async (): Promise<void> => {
  for (const { email } of readers)
    await world.ask(owner, 'POST', `/api/projects/${projectId}/members`, { email, role: 'editor' })
}

/** Copies of the mail of each reader; all copies have one Message-ID. */
const copies = (): number[] =>
  readers.map((reader) => {
    const mails = mailbox.mailsTo(reader)
    expect(new Set(mails.map((mail) => mail.header('Message-ID'))).size).toBe(Math.min(mails.length, 1))
    return mails.length
  })

const repeats = (): number => copies().reduce((sum, count) => sum + count - 1, 0)

const finish = async (workers = 1): Promise<void> =>
  withWorkers(workers, mailbox.settings, async () => {
    await mailbox.settled()
    await mailbox.closeWindows()
    await mailbox.delivered()
  })

/** Lets a worker of its own process begin the mails. */
const start = async () => {
  const child = spawnWorker(mailbox.settings)
  await readyPort(child)
  await mailbox.settled()
  await mailbox.closeWindows()
  return child
}

const kill = async (child: ReturnType<typeof spawnWorker>): Promise<void> => {
  child.kill('SIGKILL')
  await child.exited
}

test('a worker killed while the server reads the mail repeats nothing', async () => {
  await inviteAll()
  const reached = Promise.withResolvers<void>()
  const killed = Promise.withResolvers<void>()
  mailbox.smtp.behaviour = {
    onMessage: async () => {
      reached.resolve()
      await killed.promise
      return 451
    },
  }
  const child = await start()
  await reached.promise
  await kill(child)
  mailbox.smtp.behaviour = {}
  killed.resolve()
  await finish()
  expect(copies()).toEqual(readers.map(() => 1))
}, 120_000)

test('a worker killed after the server has taken the mail repeats that one, with the same Message-ID', async () => {
  await inviteAll()
  const child = await start()
  const taken = Promise.withResolvers<void>()
  mailbox.smtp.behaviour = {
    onMessage: async () => {
      await kill(child)
      taken.resolve()
      return undefined
    },
  }
  await taken.promise
  mailbox.smtp.behaviour = {}
  await finish()
  expect(copies().toSorted((a, b) => a - b)).toEqual([...readers.slice(1).map(() => 1), 2])
}, 120_000)

test('workers killed at random moments, two at a time, send every mail and repeat at most one a kill', async () => {
  await inviteAll()
  const kills = 4
  for (let n = 0; n < kills; n += 1) {
    const seen = mailbox.smtp.received.length
    const child = await start()
    await eventually(() => expect(mailbox.smtp.received.length).toBeGreaterThan(seen), { timeoutMs: 30_000 })
    await kill(child)
    if (mailbox.smtp.received.length >= readers.length) break
  }
  await finish(2)
  expect(Math.min(...copies())).toBe(1)
  expect(repeats()).toBeLessThanOrEqual(kills)
}, 180_000)

for (const point of workerFailpoints) {
  test(`a worker killed ${point} records each notice for a mail once`, async () => {
    const child = spawnWorker(mailbox.settings, {
      ...variantEnvironment('failpoints'),
      TIDE_FAILPOINT: point,
      TIDE_FAILPOINT_AFTER: '1',
    })
    await inviteAll()
    await child.exited
    expect(child.signalCode).toBe('SIGKILL')
    await finish()
    expect(copies()).toEqual(readers.map(() => 1))
  }, 120_000)
}

test('a worker that is stopped in the middle and continued ends with each mail sent, one of them at most twice', async () => {
  await inviteAll()
  const child = await start()
  const reached = Promise.withResolvers<void>()
  mailbox.smtp.behaviour = {
    onMessage: () => {
      mailbox.smtp.behaviour = {}
      child.kill('SIGSTOP')
      reached.resolve()
      return undefined
    },
  }
  await reached.promise
  await finish()
  child.kill('SIGCONT')
  await withWorkers(1, mailbox.settings, () => mailbox.delivered())
  child.kill('SIGTERM')
  await child.exited
  expect(Math.min(...copies())).toBe(1)
  expect(repeats()).toBeLessThanOrEqual(1)
}, 120_000)

test('two workers and a Redis that is emptied all the time send each mail once', async () => {
  await using redis = openRedis(world.redisUrl, 'request', createLog('test', 'silent'))
  await withWorkers(2, mailbox.settings, async () => {
    await inviteAll()
    await mailbox.settled()
    await mailbox.closeWindows()
    const over = new AbortController()
    const isOver = (): boolean => over.signal.aborted
    const emptying = (async () => {
      while (!isOver()) {
        const seen = mailbox.smtp.connections
        await redis.client.flushall().catch(() => {})
        await eventually(() => expect(isOver() || mailbox.smtp.connections > seen).toBe(true), {
          timeoutMs: 30_000,
        })
      }
    })()
    await mailbox.delivered()
    over.abort()
    await emptying
  })
  expect(copies()).toEqual(readers.map(() => 1))
}, 120_000)

test('a server that is away delays mails and nothing else', async () => {
  await mailbox.smtp.stop()
  await withWorkers(1, mailbox.settings, async () => {
    await inviteAll()
    await mailbox.settled()
    await mailbox.closeWindows()
    await eventually(
      async () => {
        const refused = await world.server.deps.db.read(
          (sql) => sql`select from deliveries where last_error like '%ECONNREFUSED%'`,
        )
        expect(refused.length).toBe(readers.length)
      },
      { timeoutMs: 30_000 },
    )
    // The inbox goes on meanwhile.
    for (const reader of readers) {
      const { items } = await world.ask(reader, 'GET', '/api/notifications')
      expect(items.length).toBe(1)
    }
    await mailbox.smtp.start()
    await mailbox.delivered()
  })
  expect(copies()).toEqual(readers.map(() => 1))
}, 120_000)

test('4xx is tried again until it is accepted; 5xx fails for good, with a reason that names no one', async () => {
  const [refused, late] = readers as [Person, Person]
  let isGreylisted = true
  mailbox.smtp.behaviour = {
    onRecipient: (address) =>
      address === refused.email ? 550 : address === late.email && isGreylisted ? 451 : undefined,
  }
  await withWorkers(1, mailbox.settings, async () => {
    await inviteAll()
    await mailbox.settled()
    await mailbox.closeWindows()
    await eventually(
      async () => {
        const tried = await world.server.deps.db.read(
          (sql) => sql`select from deliveries where last_error like '%451%'`,
        )
        expect(tried.length).toBe(1)
      },
      { timeoutMs: 30_000 },
    )
    isGreylisted = false
    await mailbox.delivered()
  })
  expect(copies()).toEqual(readers.map((reader) => (reader === refused ? 0 : 1)))
  const failed = await world.server.deps.db.read(
    (sql) => sql<{ error: string; payload: object }[]>`
      select last_error as error, payload from deliveries where state = 'failed'`,
  )
  expect(failed.map(({ error }) => error)).toEqual(['SMTP: RCPT TO 550 EENVELOPE'])
  expect(JSON.stringify(failed)).not.toContain('@')
}, 120_000)

test('no log of a worker holds an address, a subject or a link', async () => {
  const [refused] = readers as [Person]
  const child = spawnWorker({ ...mailbox.settings, logLevel: 'trace' })
  const output = new Response(child.stdout).text()
  let first = true
  mailbox.smtp.behaviour = {
    onRecipient: (address) => (address === refused.email ? 550 : undefined),
    onMessage: () => {
      if (!first) return undefined
      first = false
      return 451
    },
  }
  await inviteAll()
  await world.ask(refused, 'POST', '/api/auth/email/verify/request')
  await world.call('POST', '/api/auth/password-reset/request', { body: { email: owner.email } })
  await mailbox.settled()
  await mailbox.closeWindows()
  await mailbox.delivered()
  child.kill('SIGTERM')
  const text = await output
  await child.exited
  expect(text).toContain('delivery failed for good')
  expect(mailbox.smtp.received.length).toBeGreaterThanOrEqual(readers.length)
  expect(text).not.toMatch(/@example|person-|Apollo|token=|\/api\/(?:pages|mail)/)
}, 120_000)
