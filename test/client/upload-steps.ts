// What a program does with files, bundled for each runtime by upload-runtimes.test.ts. Each step resolves with what the
// program sees, as JSON; the test then looks at the server and the store.
import type { Client } from '../../packages/client/src/client.ts'
import type { PendingUpload } from '../../packages/client/src/http/direct-upload.ts'

export interface Seen {
  first: number
  last: number
  reports: number
  isRising: boolean
}

const text = (size: number): File => new File(['a'.repeat(size)], 'long.txt', { type: 'text/plain' })

const watch = () => {
  const sent: number[] = []
  return {
    onProgress: (progress: { sent: number }) => void sent.push(progress.sent),
    seen: (): Seen => ({
      first: sent[0]!,
      last: sent.at(-1)!,
      reports: sent.length,
      isRising: sent.every((bytes, index) => index === 0 || bytes > sent[index - 1]!),
    }),
  }
}

const failureOf = async (work: Promise<unknown>) => {
  const error = await work.then(
    () => new Error('it succeeded'),
    (error: Error) => error,
  )
  return { name: error.name, message: error.message }
}

export const steps = {
  /** Upload with progress, then the whole file and its parts. */
  async upload(client: Client, taskId: string) {
    const { onProgress, seen } = watch()
    const { id, size } = await client.attachments.upload(taskId, text(1_000_000), { onProgress })
    const whole = await client.attachments.download(id)
    const end = await client.attachments.download(id, { start: size - 2 })
    const part = await client.attachments.download(id, { start: 1, end: 4 })
    const beyond = await failureOf(client.attachments.download(id, { start: size }))
    return {
      seen: seen(),
      sizes: [whole.size, end.size, part.size],
      type: whole.type,
      text: await part.text(),
      beyond: beyond.message,
    }
  },

  /** Abort as soon as bytes are on their way. */
  async abort(client: Client, taskId: string) {
    const stop = new AbortController()
    let sentAtAbort = 0
    const upload = client.attachments.upload(taskId, text(2_000_000), {
      signal: stop.signal,
      onProgress: ({ sent }) => {
        if (sent === 0 || stop.signal.aborted) return
        sentAtAbort = sent
        stop.abort(new Error('the user has pressed Cancel'))
      },
    })
    return {
      ...(await failureOf(upload)),
      isPartly: sentAtAbort < 2_000_000,
      listed: (await client.attachments.list(taskId).all()).length,
    }
  },

  /** Past the server, with progress. */
  async direct(client: Client, taskId: string) {
    const { onProgress, seen } = watch()
    const { id } = await client.attachments.uploadDirectly(taskId, text(1_000_000), { onProgress })
    return { id, seen: seen() }
  },

  async directRefused(client: Client, taskId: string) {
    return failureOf(client.attachments.uploadDirectly(taskId, text(10), { onProgress: () => {} }))
  },

  async directAborted(client: Client, taskId: string) {
    const stop = new AbortController()
    const upload = client.attachments.uploadDirectly(taskId, text(2_000_000), {
      key: taskId,
      signal: stop.signal,
      onProgress: ({ sent }) => {
        if (sent > 0) stop.abort(new Error('the user has pressed Cancel'))
      },
    })
    return failureOf(upload)
  },

  /** The upload of `directAborted` again, as a later run of the program makes it. */
  async directAgain(client: Client, taskId: string) {
    const { id } = await client.attachments.uploadDirectly(taskId, text(2_000_000), { key: taskId })
    return { id }
  },

  /** A program that ends while it sends the file. Resolves with what it has kept, as text. */
  async directInterrupted(client: Client, taskId: string) {
    const stop = new AbortController()
    let kept = ''
    await failureOf(
      client.attachments.uploadDirectly(taskId, text(2_000_000), {
        signal: stop.signal,
        onPending: async (pending) => void (kept = JSON.stringify(pending)),
        onProgress: ({ sent }) => {
          if (sent > 0) stop.abort()
        },
      }),
    )
    return { kept }
  },

  /** A program that ends when the file is stored and not announced. */
  async directStored(client: Client, taskId: string) {
    const stop = new AbortController()
    let kept = ''
    await failureOf(
      client.attachments.uploadDirectly(taskId, text(2_000_000), {
        signal: stop.signal,
        onPending: (pending) => {
          kept = JSON.stringify(pending)
          if (pending.isStored) stop.abort()
        },
      }),
    )
    return { kept }
  },

  /** The next run of either, with the same file. */
  async directResumed(client: Client, _taskId: string, kept: string) {
    const { onProgress, seen } = watch()
    const states: boolean[] = []
    const pending: PendingUpload = JSON.parse(kept)
    const { id, size } = await client.attachments.resumeUpload(pending, text(2_000_000), {
      onProgress,
      onPending: ({ isStored }) => void states.push(isStored),
    })
    return { id, size, states, seen: seen() }
  },

  /** The next run, with another file, and after the URL has expired. */
  async directResumedWrongly(client: Client, _taskId: string, kept: string) {
    const pending: PendingUpload = JSON.parse(kept)
    return [
      await failureOf(client.attachments.resumeUpload(pending, text(2_000_001))),
      await failureOf(client.attachments.resumeUpload(pending, text(2_000_000), { attempts: 1 })),
    ]
  },

  /** While there is no network. */
  async offline(client: Client, taskId: string) {
    return [
      await failureOf(client.attachments.upload(taskId, text(10), { onProgress: () => {} })),
      await failureOf(client.attachments.download(taskId)),
    ]
  },
}

export type Step = keyof typeof steps
