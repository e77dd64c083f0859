// What workers owe during a run: notifications of acts beside the writers, activity, announcements of changed profiles,
// statistics that agree with the rows at every snapshot, and mails where the arena has an SMTP server. Invariant: people
// of an arena read no notification.
import type { Database } from '../../src/db/client.ts'
import type { Api } from '../oracle/api.ts'
import { compareCounters, noDrift } from '../oracle/drift.ts'
import { checkActivity, checkProfiles } from '../oracle/effects.ts'
import { closeMailWindows, countMails, countUnmailed, deliverAll } from '../oracle/mails.ts'
import { checkNotices, Notices, workersSettled, type NoticesOptions } from '../oracle/notices.ts'
import { Profiles } from '../oracle/profiles.ts'
import { eventually } from '../support/eventually.ts'
import type { TestSmtp } from '../support/smtp.ts'
import type { Counts } from './fault.ts'

export interface DutiesOptions extends NoticesOptions {
  db: Database
  smtp: TestSmtp | null
  /** Whose statistics and activity are compared. */
  projects: readonly { id: string }[]
  /** For changes of profiles. */
  profilesApi: Api
}

export type DutyCounts = Pick<
  Counts,
  | 'notified'
  | 'missing'
  | 'twice'
  | 'exact'
  | 'skipped'
  | 'drift'
  | 'effects'
  | 'effectsMissing'
  | 'effectsRepeated'
  | 'mails'
  | 'mailsMissing'
  | 'mailsRepeated'
>

const driftEveryMs = 1_000
const windowEveryMs = 500
const profileEveryMs = 1_000

export class Duties {
  readonly notices: Notices
  readonly #profiles: Profiles
  /** How often a worker was killed or stopped: it may send the mail again whose answer it had not noted. */
  interruptions = 0
  #mark = { acts: 0, at: 0 }
  /** Of comparisons while the run goes on, and how many were tried. */
  readonly #live = noDrift()
  #tried = 0
  readonly #repeatedBefore: number
  readonly #mailsBefore: number
  readonly #lostBefore: number
  readonly #timers: Timer[]

  private constructor(
    private readonly options: DutiesOptions,
    before: { sent: number; repeated: number },
  ) {
    const { db, smtp, projects, projectId, people, profilesApi } = options
    this.#repeatedBefore = before.repeated
    this.#mailsBefore = before.sent
    this.#lostBefore = smtp?.lostAnswers ?? 0
    this.notices = new Notices(options)
    this.#profiles = new Profiles({
      api: profilesApi,
      people,
      prefix: projectId.slice(-6),
      everyMs: profileEveryMs,
    })
    this.#timers = [
      every(driftEveryMs, async () => {
        const project = projects[(this.#tried += 1) % projects.length]!
        const { exact, skipped, drifted } = await compareCounters(db, [project])
        this.#live.exact += exact
        this.#live.skipped += skipped
        this.#live.drifted += drifted
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

  /** Milliseconds from the mark to a notification of an act that was acknowledged after it; Infinity after `timeoutMs`. */
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
    await Promise.all([this.notices.stop(), this.#profiles.stop()])
    for (const timer of this.#timers) clearInterval(timer)
  }

  /** Waits until workers have nothing left to do, and counts what they did. */
  async check(timeoutMs: number): Promise<{ counts: DutyCounts; violations: string[] }> {
    const { db, smtp } = this.options
    const violations = [...this.notices.faults, ...this.#profiles.faults]
    const note = (error: unknown): void => void violations.push(`workers do not settle: ${String(error)}`)
    await workersSettled(db, timeoutMs).catch(note)
    if (smtp) await deliverAll(db, smtp, timeoutMs).catch(note)
    const { missing, repeated } = await checkNotices(db, this.notices)
    const effects = await this.#checkEffects()
    const drift = await this.#checkDrift()
    const mails = await this.#checkMails()
    violations.push(
      ...first('notifications missing', missing),
      ...first('notifications twice', repeated),
      ...[effects, drift, mails].flatMap((part) => part.violations),
    )
    const counts = {
      notified: this.notices.expected.length,
      missing: missing.length,
      twice: repeated.length,
      ...effects.counts,
      ...drift.counts,
      ...mails.counts,
    }
    return { counts, violations }
  }

  async #checkEffects() {
    const { db, projects, projectId } = this.options
    const activity = await checkActivity(db, projects)
    const profiles = await checkProfiles(db, projectId, this.#profiles.changes)
    const missing = [...activity.missing, ...profiles.missing]
    const repeated = [...activity.repeated, ...profiles.repeated]
    return {
      counts: {
        effects: activity.due + profiles.due,
        effectsMissing: missing.length,
        effectsRepeated: repeated.length,
      },
      violations: [...first('effects missing', missing), ...first('effects repeated', repeated)],
    }
  }

  /** Now that workers rest, every project can be compared; while the run went on, one must have been at least once. */
  async #checkDrift() {
    const { db, projects } = this.options
    const live = this.#live
    const rest = await compareCounters(db, projects)
    const drift = live.drifted + rest.drifted
    const violations: string[] = []
    if (drift > 0) violations.push(`statistics of ${drift} projects drifted`)
    if (live.exact + live.drifted === 0)
      violations.push(`no statistics were compared while the run went on: ${live.skipped} skipped`)
    if (rest.skipped > 0)
      violations.push(`statistics of ${rest.skipped} projects could not be compared at rest`)
    const counts = { exact: live.exact + rest.exact, skipped: live.skipped + rest.skipped, drift }
    return { counts, violations }
  }

  async #checkMails() {
    const { db, smtp, people } = this.options
    if (!smtp) return { counts: { mails: 0, mailsMissing: 0, mailsRepeated: 0 }, violations: [] }
    const { sent, repeated } = await countMails(db, smtp, [])
    // Who was added to the project of the acts was notified of that before them.
    const invited = people.slice(1).map(({ id }) => `project_invited null ${id}`)
    const due = [...invited, ...this.notices.expected]
    const unmailed = await countUnmailed(db, due, smtp.received.slice(this.#mailsBefore))
    const allowedRepeats = this.interruptions + smtp.lostAnswers - this.#lostBefore
    const repeats = repeated - this.#repeatedBefore
    const counts = {
      mails: sent - this.#mailsBefore,
      mailsMissing: unmailed,
      mailsRepeated: Math.max(0, repeats - allowedRepeats),
    }
    const violations: string[] = []
    if (unmailed > 0) violations.push(`${unmailed} of ${due.length} notices are in no mail`)
    if (counts.mailsRepeated > 0) violations.push(`${repeats} mails repeated, ${allowedRepeats} allowed`)
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
