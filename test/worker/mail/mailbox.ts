// A world with a real SMTP server, people whose addresses are verified, and workers that send to it.
import { expect } from 'bun:test'
import { eventually } from '../../support/eventually.ts'
import { startSmtp, type ReceivedMail, type TestSmtp } from '../../support/smtp.ts'
import { startWorld, type Person, type World } from '../../support/world.ts'
import { openWorker, type WorkerSettings } from '../rig.ts'
import type { Worker } from '../../../src/worker/runner.ts'

export interface Mailbox extends AsyncDisposable {
  world: World
  smtp: TestSmtp
  /** Of workers that send to the server. */
  settings: WorkerSettings
  worker(): Promise<Worker>
  /** New users with verified addresses. */
  people<N extends string>(...names: N[]): Promise<Record<N, Person>>
  /** Every consumer has handled what was appended so far. */
  settled(): Promise<void>
  /** Ends the wait of the windows that are open: their mails are due now. */
  closeWindows(): Promise<void>
  /** Resolves when no delivery is left to be tried. */
  delivered(): Promise<void>
  /** Mails to a person. */
  mailsTo(person: Pick<Person, 'email'>): ReceivedMail[]
}

export const openMailbox = async (): Promise<Mailbox> => {
  await using stack = new AsyncDisposableStack()
  const smtp = stack.use(await startSmtp())
  const world = stack.use(await startWorld())
  const { db } = world.server.deps
  const settings: WorkerSettings = {
    databaseUrl: world.databaseUrl,
    redisUrl: world.redisUrl,
    overdueIntervalMs: 60_000,
    smtpUrl: smtp.url,
  }
  const settled = (): Promise<void> =>
    eventually(
      async () => {
        const late = await db.read(
          (sql) => sql`select from feed_head h join consumer_cursor c using (shard) where c.seq < h.seq`,
        )
        expect(late.length).toBe(0)
      },
      { timeoutMs: 20_000 },
    )
  const owned = stack.move()
  return {
    world,
    smtp,
    settings,
    worker: () => openWorker(settings),
    async people(...names) {
      const made = await world.people(...names)
      const ids = Object.values<Person>(made).map(({ id }) => id)
      await db.transact((tx) => tx`update users set email_verified_at = now() where id = any(${ids}::uuid[])`)
      return made
    },
    settled,
    async closeWindows() {
      await db.transact(
        (tx) =>
          tx`update deliveries set next_at = now() where kind = 'mail.notification' and state = 'waiting'`,
      )
    },
    async delivered() {
      await eventually(
        async () => {
          const open = await db.read(
            (sql) => sql`select from deliveries where state not in ('done', 'failed')`,
          )
          expect(open.length).toBe(0)
        },
        { timeoutMs: 60_000, everyMs: 50, progress: () => smtp.received.length + smtp.connections },
      )
    },
    mailsTo: ({ email }) => smtp.received.filter(({ to }) => to.includes(email)),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}
