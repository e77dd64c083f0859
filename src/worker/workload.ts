// What waits outside of the log and what is stored, for operators: deliveries by kind, dead letters, the files. Invariant:
// however often it is asked for, a figure is read again only after its interval, and reading takes at most a fifth of the
// time.
import type { Database } from '../db/client.ts'
import { countDeliveries, type DeliveryCounts } from '../db/deliveries/counts.ts'
import { countStoredFiles, type StoredFiles } from '../db/files/stored.ts'
import { selectFileState, type FileState } from '../db/files/sweep.ts'
import { countDeadLetters } from '../db/log/dead-letters.ts'
import type { DiskSpace, Storage } from '../storage/storage.ts'

export interface Workload {
  deliveries: DeliveryCounts[]
  /** Of all consumers; 10,000 means at least as many. */
  deadLetters: number
  files: FileState & {
    /** Null before the first count has ended. */
    stored: (StoredFiles & { countedAt: string }) | null
    /** Null for an object store. */
    disk: DiskSpace | null
  }
}

const readEveryMs = 5_000
/** Counting reads as many index entries as there are files. */
const countEveryMs = 60_000
const countDeadlineMs = 5_000
const retryMs = 5_000
/** Waits after a reading, in readings. */
const minPauses = 4

/** A figure that is read when it is asked for, and is older than its interval. Null while it cannot be read. */
class Figure<T> {
  #value: T | null = null
  #reading: Promise<T | null> = Promise.resolve(null)
  #nextAt = -Infinity

  constructor(
    private readonly everyMs: number,
    private readonly read: () => Promise<T>,
  ) {}

  /** As of the last reading that has ended. */
  get last(): T | null {
    return this.#value
  }

  /** The figure, read again where it is time. */
  get(): Promise<T | null> {
    if (performance.now() >= this.#nextAt) {
      this.#nextAt = Infinity
      this.#reading = this.#refresh()
    }
    return this.#reading
  }

  async #refresh(): Promise<T | null> {
    const startedAt = performance.now()
    let pauseMs = this.everyMs
    try {
      this.#value = await this.read()
    } catch {
      this.#value = null
      pauseMs = retryMs
    }
    const endedAt = performance.now()
    this.#nextAt = endedAt + Math.max(pauseMs, (endedAt - startedAt) * minPauses)
    return this.#value
  }
}

interface WorkloadDeps {
  /** For the count, which may take its connection for seconds. */
  db: Pick<Database, 'read'>
  /** Of the follower: it answers while the work has taken all connections of the other. */
  tailDb: Pick<Database, 'read'>
  storage: Pick<Storage, 'diskSpace'>
}

export class WorkloadProbe {
  readonly #stored: Figure<StoredFiles & { countedAt: string }>
  readonly #waiting: Figure<Omit<Workload, 'files'> & { files: FileState & { disk: DiskSpace | null } }>

  constructor({ db, tailDb, storage }: WorkloadDeps) {
    this.#stored = new Figure(countEveryMs, async () => ({
      ...(await db.read(countStoredFiles, { deadlineMs: countDeadlineMs })),
      countedAt: new Date().toISOString(),
    }))
    this.#waiting = new Figure(readEveryMs, async () => {
      const [read, disk] = await Promise.all([
        tailDb.read(async (sql) => ({
          deliveries: await countDeliveries(sql),
          deadLetters: await countDeadLetters(sql),
          files: await selectFileState(sql),
        })),
        storage.diskSpace(),
      ])
      return { ...read, files: { ...read.files, disk } }
    })
  }

  /** What was read last, for metrics; null where PostgreSQL did not answer. */
  get last(): Workload | null {
    const waiting = this.#waiting.last
    return waiting && { ...waiting, files: { ...waiting.files, stored: this.#stored.last } }
  }

  /** At most 5 s old, what is stored a minute. Never waits for the count: a probe has a second. Null: PostgreSQL did not answer. */
  async read(): Promise<Workload | null> {
    void this.#stored.get()
    await this.#waiting.get()
    return this.last
  }

  /** The same, after the first count, which ends by its deadline. */
  async readWhole(): Promise<Workload | null> {
    await this.#stored.get()
    return this.read()
  }
}

/** Whether an administrator has to look: deliveries failed for good, or files are missing. */
export const needsAttention = ({ deliveries, files }: Workload): boolean =>
  files.missing > 0 || deliveries.some(({ failed }) => failed > 0)

interface WorkloadLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

/** Of runs with nothing to report, one in sixty is logged: one an hour. */
const quietRuns = 60

/** Logs the workload: at every run while something waits or has failed, otherwise at the first one and then at one in sixty. */
export const workloadLogging = (
  probe: Pick<WorkloadProbe, 'readWhole'>,
  log: WorkloadLog,
): (() => Promise<void>) => {
  let quiet = 0
  return async () => {
    const workload = await probe.readWhole()
    if (!workload) return
    const { deliveries, deadLetters, files } = workload
    if (needsAttention(workload) || deadLetters > 0) {
      quiet = 0
      log.warn(workload, 'deliveries or entries failed, or files are missing')
      return
    }
    const isWaiting = deliveries.length > 0 || files.deletions > 0
    if (isWaiting || quiet % quietRuns === 0)
      log.info(workload, isWaiting ? 'deliveries wait' : 'nothing waits')
    quiet = isWaiting ? 0 : quiet + 1
  }
}
