// Mails against the deliveries they were sent for. Message-IDs hold the delivery's id, so that a repeat is recognised.
import type { Database } from '../../src/db/client.ts'
import { eventually } from '../support/eventually.ts'
import type { ReceivedMail, TestSmtp } from '../support/smtp.ts'

/** The id of the delivery that a mail was sent for. */
const deliveryIdOf = (messageId: string | undefined): string => /^<([^@]+)@/.exec(messageId ?? '')?.[1] ?? ''

/** Ends the windows in which notices are collected for a mail; a delivery that was tried keeps its back-off. */
export const closeMailWindows = async (db: Database): Promise<void> => {
  await db.transact(
    (tx) =>
      tx`
        update deliveries set next_at = now()
        where kind = 'mail.notification' and state = 'waiting' and attempts = 0 and next_at > now()`,
  )
}

/** Waits until no delivery is left, without windows and back-off. */
export const deliverAll = async (db: Database, smtp: TestSmtp, timeoutMs: number): Promise<void> => {
  await eventually(
    async () => {
      await db.transact(
        (tx) =>
          tx`
            update deliveries set next_at = now()
            where kind like 'mail.%' and state = 'waiting' and next_at > now() + interval '1 second'`,
      )
      const [row] = await db.read(
        (sql) => sql<{ open: number }[]>`
          select count(*)::int as open from deliveries where state not in ('done', 'failed')`,
      )
      if (row!.open > 0) throw new Error(`${row!.open} deliveries are open`)
    },
    { timeoutMs, everyMs: 200, progress: () => smtp.received.length },
  )
}

export interface MailCounts {
  sent: number
  /** Deliveries of notifications without a mail. */
  missing: number
  /** Mails with a Message-ID that was sent before. */
  repeated: number
}

/** @param userIds of people who read no notification and follow no link to end mails: each delivery sends a mail. */
export const countMails = async (
  db: Database,
  smtp: TestSmtp,
  userIds: readonly string[],
): Promise<MailCounts> => {
  const wanted = await db.read(
    (sql) => sql<{ id: string }[]>`
      select id from deliveries where kind = 'mail.notification' and payload->>'userId' = any(${[...userIds]}::text[])`,
  )
  const sent = smtp.received.map((mail) => deliveryIdOf(mail.header('Message-ID')))
  const distinct = new Set(sent)
  return {
    sent: sent.length,
    missing: wanted.filter(({ id }) => !distinct.has(id)).length,
    repeated: sent.length - distinct.size,
  }
}

/** How many notices a mail says it has: a digest counts them in its subject. */
const noticesIn = (mail: ReceivedMail): number =>
  Number(/^(\d+) notifications$/.exec(mail.header('Subject') ?? '')?.[1] ?? 1)

/**
 * How many notices are in no mail. Every user wants every kind as mail, reads none, and can read all tasks.
 * @param due `kind task user` of each notice: from what clients did, not from what the system recorded.
 * @param mails those sent for them, repeats among them.
 */
export const countUnmailed = async (
  db: Database,
  due: readonly string[],
  mails: readonly ReceivedMail[],
): Promise<number> => {
  const dueOf = new Map<string, number>()
  for (const user of due.map((line) => line.split(' ')[2]!)) dueOf.set(user, (dueOf.get(user) ?? 0) + 1)
  const users = await db.read(
    (sql) => sql<{ id: string; email: string }[]>`
      select id, email from users where id = any(${[...dueOf.keys()]}::uuid[])`,
  )
  return users.reduce((unmailed, { id, email }) => {
    const own = mails.filter(({ to }) => to.includes(email))
    const noticesOf = new Map(own.map((mail) => [deliveryIdOf(mail.header('Message-ID')), noticesIn(mail)]))
    const mailed = [...noticesOf.values()].reduce((sum, count) => sum + count, 0)
    return unmailed + Math.max(0, dueOf.get(id)! - mailed)
  }, 0)
}
