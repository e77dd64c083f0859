// Sends a file and reports progress, on every runtime: by XMLHttpRequest in browsers, whose fetch reports none, elsewhere
// by a stream that counts the bytes the network reads from it.
import type { CallOptions, Fetch } from './request.ts'

export interface UploadProgress {
  /** Bytes the network has taken, of the file alone. */
  sent: number
  /** Of the file. */
  total: number
}

export type OnProgress = (progress: UploadProgress) => void

export interface UploadOptions extends CallOptions {
  /** Shown to others; that of a `File` by default. */
  filename?: string | undefined
  /** Called while the file is sent, first with 0; again from 0 where an attempt is repeated. */
  onProgress?: OnProgress | undefined
}

export const nameOf = (file: Blob): string =>
  'name' in file && typeof file.name === 'string' ? file.name : 'file'

/** The slowest upload that is waited for, in bytes a second, after half a minute. */
const slowestBytesPerSecond = 16 * 1024

export const uploadTimeoutMs = (bytes: number): number => 30_000 + (bytes / slowestBytesPerSecond) * 1_000

/** A form with one file, or a file alone; `total` bytes. @returns a fetch that reports progress. */
export const fetchWithProgress =
  (send: Fetch, total: number, onProgress: OnProgress): Fetch =>
  (url, init) => {
    let last = -1
    const report = (sent: number): void => {
      const known = Math.min(sent, total)
      if (known === last) return
      last = known
      onProgress({ sent: known, total })
    }
    report(0)
    return typeof XMLHttpRequest === 'undefined'
      ? sendCounted(send, url, init, report)
      : sendByXhr(url, init, report)
  }

const sendCounted = async (
  send: Fetch,
  url: string,
  init: RequestInit,
  report: (sent: number) => void,
): Promise<Response> => {
  const whole = new Response(init.body ?? null)
  const type = whole.headers.get('content-type')
  let sent = 0
  const counted = whole.body!.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        controller.enqueue(chunk)
        sent += chunk.byteLength
        report(sent)
      },
    }),
  )
  const headers = new Headers(init.headers)
  if (type !== null && !headers.has('Content-Type')) headers.set('Content-Type', type)
  // A stream has no length: fetch would send it in chunks, which S3 refuses (411) and the signature excludes. A form has
  // no length that is known before it is read; the server accepts it in chunks.
  if (init.body instanceof Blob) headers.set('Content-Length', String(init.body.size))
  const duplex = { duplex: 'half' } // Node's fetch throws a TypeError for a stream without it
  return send(url, { ...init, headers, body: counted, ...duplex })
}

const sendByXhr = (url: string, init: RequestInit, report: (sent: number) => void): Promise<Response> =>
  new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const { signal } = init
    const abort = (): void => {
      request.abort()
      reject(signal?.reason instanceof Error ? signal.reason : new DOMException('Aborted', 'AbortError'))
    }
    request.open(init.method ?? 'GET', url)
    new Headers(init.headers).forEach((value, name) => request.setRequestHeader(name, value))
    request.upload.addEventListener('progress', ({ loaded }) => report(loaded))
    request.addEventListener('error', () => reject(new TypeError('the request failed')))
    request.addEventListener('load', () => {
      const headers = new Headers()
      for (const line of request
        .getAllResponseHeaders()
        .trim()
        .split(/[\r\n]+/)) {
        const at = line.indexOf(':')
        if (at > 0) headers.append(line.slice(0, at), line.slice(at + 1).trim())
      }
      const { status } = request
      const isEmpty = status === 204 || status === 304
      resolve(new Response(isEmpty ? null : request.responseText, { status, headers }))
    })
    request.addEventListener('loadend', () => signal?.removeEventListener('abort', abort))
    if (signal?.aborted) return abort()
    signal?.addEventListener('abort', abort, { once: true })
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a form or a file, as this package sends them
    request.send((init.body ?? null) as XMLHttpRequestBodyInit | null)
  })
