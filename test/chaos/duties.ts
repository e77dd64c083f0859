// What workers owe during a run: notifications of acts beside the writers, statistics that agree with the rows at every
// snapshot, and mails where the arena has an SMTP server. Invariant: people of an arena read no notification.
import type { Database } from '../../src/db/client.ts'
import { driftOf } from '../oracle/drift.ts'
import { closeMailWindows, countMails, deliverAll } from '../oracle/mails.ts'
import { checkNotices, Notices, workersSettled, type NoticesOptions } from '../oracle/notices.ts'
import { eventually } from '../support/eventually.ts'
import type { TestSmtp } from '../support/smtp.ts'
import type { Counts } from './fault.ts'

export interface DutiesOptions extends NoticesOptions {
  db: Database
  smtp: TestSmtp | null
  /** Whose statistics are compared. */
  projects: readonly { id: string }[]
}

export type DutyCounts = Pick<
  Counts,
  'notified' | 'missing' | 'twice' | 'drift' | 'mails' | 'mailsMissing' | 'mailsRepeated'
>

const driftEveryMs = 1_000
const windowEveryMs = 500

export class Duties {
  readonly notices: Notices
  /** How often a worker was killed or stopped: it may send the mail again whose answer it had not noted. */
  interruptions = 0
  #mark = { acts: 0, at: 0 }
  #drifted = 0
  #compared = 0
  readonly #repeatedBefore: number
  readonly #mailsBefore: number
  readonly #lostBefore: number
  readonly #timers: Timer[]

  private constructor(
    private readonly options: DutiesOptions,
    before: { sent: number; repeated: number },
  ) {
    const { db, smtp, projects } = options
    this.#repeatedBefore = before.repeated
    this.#mailsBefore = before.sent
    this.#lostBefore = smtp?.lostAnswers ?? 0
    this.notices = new Notices(options)
    this.#timers = [
      every(driftEveryMs, async () => {
        const project = projects[(this.#compared += 1) % projects.length]!
        this.#drifted += await driftOf(db, [project])
      }),
      ...(smtp ? [every(windowEveryMs, () => closeMailWindows(db))] : []),
    ]
  }

  static async begin(options: DutiesOptions): Promise<Duties> {
    const { db, smtp } = options
    return new Duties(options, smtp ? await countMails(db, smtp, []) : { sent: 0, repeated: 0 })
  }

  /** The end of a fault: recovery is measured from here. */
  mark(): void {
    this.#mark = { acts: this.notices.taskIds.length, at: performance.now() }
  }

  /** Milliseconds from the mark to a notification of an act that was acknowledged after it. */
  async recoveredMs(timeoutMs: number): Promise<number> {
    const isThere = async (): Promise<number> => {
      const later = this.notices.taskIds.slice(this.#mark.acts)
      const rows = await this.options.db.read(
        (sql) => sql`select from notifications where task_id = any(${later}::uuid[]) limit 1`,
      )
      if (rows.length === 0 && this.notices.faults.length === 0)
        throw new Error('no later act was notified of')
      return performance.now() - this.#mark.at
    }
    return eventually(isThere, { timeoutMs, everyMs: 50 }).catch(() => Number.POSITIVE_INFINITY)
  }

  /** Ends the acts. */
  async stop(): Promise<void> {
    await this.notices.stop()
    for (const timer of this.#timers) clearInterval(timer)
  }

  /** Waits until workers have nothing left to do, and counts what they did. */
  async check(timeoutMs: number): Promise<{ counts: DutyCounts; violations: string[] }> {
    const { db, smtp, projects, people } = this.options
    const violations = [...this.notices.faults]
    const note = (error: unknown): void => void violations.push(`workers do not settle: ${String(error)}`)
    await workersSettled(db, timeoutMs).catch(note)
    if (smtp) await deliverAll(db, smtp, timeoutMs).catch(note)
    const { missing, repeated } = await checkNotices(db, this.notices)
    const mails = smtp
      ? await countMails(
          db,
          smtp,
          people.map(({ id }) => id),
        )
      : { sent: 0, missing: 0, repeated: 0 }
    const allowedRepeats = this.interruptions + (smtp?.lostAnswers ?? 0) - this.#lostBefore
    const counts = {
      notified: this.notices.expected.length,
      missing: missing.length,
      twice: repeated.length,
      drift: this.#drifted + (await driftOf(db, projects)),
      mails: mails.sent - this.#mailsBefore,
      mailsMissing: mails.missing,
      mailsRepeated: Math.max(0, mails.repeated - this.#repeatedBefore - allowedRepeats),
    }
    violations.push(...first('notifications missing', missing), ...first('notifications twice', repeated))
    if (counts.drift > 0) violations.push(`statistics of ${counts.drift} projects drifted`)
    if (counts.mailsMissing > 0) violations.push(`${counts.mailsMissing} deliveries without a mail`)
    if (counts.mailsRepeated > 0)
      violations.push(`${mails.repeated - this.#repeatedBefore} mails repeated, ${allowedRepeats} allowed`)
    return { counts, violations }
  }
}

const first = (what: string, lines: string[]): string[] =>
  lines.length === 0 ? [] : [`${what}: ${lines.length}, for example ${lines[0]}`]

/** Repeats `work`, one at a time; what fails while PostgreSQL is away is tried again the next time. */
const every = (ms: number, work: () => Promise<unknown>): Timer => {
  let isRunning = false
  return setInterval(() => {
    if (isRunning) return
    isRunning = true
    void work()
      .catch(() => {})
      .finally(() => (isRunning = false))
  }, ms)
}
