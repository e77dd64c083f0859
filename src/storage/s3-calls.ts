// Calls to the object store with a deadline and a bounded number of tries. Invariant: a call that misses its deadline is
// aborted, which closes its connection, so that a half-open one is never used again.
import type { S3Client } from '@aws-sdk/client-s3'
import { backOffMs } from '../async/back-off.ts'
import { pause } from '../async/pause.ts'
import { withTimeout } from '../async/timeout.ts'
import { AppError, unavailable } from '../errors.ts'
import type { Log } from '../log.ts'
import { codeOfError } from '../start/failure.ts'
import type { Trouble } from '../start/trouble.ts'
import { answerIn, s3Trouble } from './s3-trouble.ts'

export interface CallLimits {
  /** Tries of a call, at most. */
  tries: number
  /** Milliseconds for a try of a call without a body; all tries of a call take twice that. */
  timeoutMs: number
  /** Bytes a second that a body is expected to move at least. */
  minBytesPerSecond: number
  /** Milliseconds between two pieces of a download. */
  stallTimeoutMs: number
  /** Keys of one page of a list. */
  pageSize: number
  /** Waits between tries, doubled by each. */
  backOff: { baseMs: number; maxMs: number }
}

export const defaultLimits: CallLimits = {
  tries: 3,
  timeoutMs: 4_000,
  minBytesPerSecond: 512 * 1024,
  stallTimeoutMs: 10_000,
  pageSize: 1_000,
  backOff: { baseMs: 100, maxMs: 1_000 },
}

/** Whether the store answered that there is no such object or upload. A missing bucket is a fault of the settings. */
export const isAbsent = (error: unknown): boolean => {
  const { name, status } = answerIn(error)
  return status === 404 && name !== 'NoSuchBucket'
}

export const isNotImplemented = (error: unknown): boolean => answerIn(error).status === 501

/** Whether another try may succeed: no answer, a fault of the store, or too many calls. */
const isTransient = (error: unknown): boolean => {
  const { status } = answerIn(error)
  return status === undefined || (status >= 500 && status !== 501) || status === 429 || status === 408
}

/** A try that would have less time is not begun. */
const minTryMs = 200

/** What calls of one bucket need. */
export interface BucketDeps {
  client: S3Client
  calls: S3Calls
  Bucket: string
}

interface RunOptions {
  /** Bytes of the body. */
  bytes?: number
  tries?: number
  timeoutMs?: number
  /** Rejects with the SDK's error where the object or upload is absent, or the call is not implemented. */
  mayBeAbsent?: boolean
}

export class S3Calls implements Disposable {
  readonly #stop = new AbortController()

  constructor(
    private readonly log: Pick<Log, 'warn'>,
    readonly limits: CallLimits,
    /** The setting that says where the store is. */
    private readonly setting: 'S3_ENDPOINT' | 'S3_REGION',
  ) {}

  /** Why a call failed; null where no setting explains it. */
  troubleOf(failure: unknown): Trouble | null {
    return s3Trouble(failure instanceof AppError ? failure.cause : failure, this.setting)
  }

  /**
   * Runs a call until it succeeds, fails for good, or has used its tries.
   * @param work must pass the signal to the SDK; called once a try.
   * @throws AppError 503
   */
  async run<T>(
    what: string,
    work: (signal: AbortSignal) => Promise<T>,
    {
      bytes = 0,
      tries = this.limits.tries,
      timeoutMs = this.limits.timeoutMs,
      mayBeAbsent = false,
    }: RunOptions = {},
  ): Promise<T> {
    const { backOff, minBytesPerSecond } = this.limits
    const bodyMs = (bytes / minBytesPerSecond) * 1_000
    const endsAt = performance.now() + bodyMs + timeoutMs * Math.min(tries, 2)
    for (let failures = 1; ; failures += 1) {
      const abort = new AbortController()
      try {
        const leftMs = Math.min(bodyMs + timeoutMs, endsAt - performance.now())
        return await withTimeout(leftMs, what, work(abort.signal))
      } catch (error) {
        abort.abort()
        if (mayBeAbsent && (isAbsent(error) || isNotImplemented(error))) throw error
        const isOver = failures >= tries || performance.now() + minTryMs > endsAt || this.#stop.signal.aborted
        if (isOver || !isTransient(error)) throw this.#failed(what, error)
        await pause(backOffMs(failures, backOff.baseMs, backOff.maxMs), this.#stop.signal)
      }
    }
  }

  /** The text of the error may name a URL with a signature: its code and status are logged, nothing else. */
  #failed(what: string, error: unknown): Error {
    const { name, status } = answerIn(error)
    const trouble = s3Trouble(error, this.setting)?.text
    const oncePerMinute = `storage: ${trouble ?? `${what} ${name}`}`
    const fields = { call: what, code: codeOfError(error) || name, status, oncePerMinute }
    this.log.warn(fields, trouble ?? 'a call to the object store failed')
    return unavailable(error)
  }

  /** Ends waits between tries. */
  [Symbol.dispose](): void {
    this.#stop.abort()
  }
}

/** The stream with a deadline for each piece: a store that stalls fails it and loses its connection. */
export const withStallDeadline = (
  stream: ReadableStream<Uint8Array>,
  { stallTimeoutMs }: Pick<CallLimits, 'stallTimeoutMs'>,
  abort: () => void,
): ReadableStream<Uint8Array> => {
  const reader = stream.getReader()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await withTimeout(stallTimeoutMs, 'reading an object', reader.read())
          if (done) controller.close()
          else controller.enqueue(value)
        } catch (error) {
          abort()
          controller.error(unavailable(error))
        }
      },
      cancel() {
        abort()
      },
    },
    { highWaterMark: 0 },
  )
}
