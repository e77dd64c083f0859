// The requests of the files suite, as one user. A request that fails in any way has no answer: what it did is not known,
// and it is not repeated. Counted is what no request may do, also while faults are injected.
import { isLeaking } from '../../oracle/api.ts'
import type { DirectUpload } from '../../../src/model/attachment.ts'

const usualTimeoutMs = 10_000
/** Before the next request of the same user, where the server is being started again. */
const backOffMs = 100

/** Of files whose content is one of two texts of the same length. */
export const contentOf = (name: string): string => `good ${name}\n`
export const otherContentOf = (name: string): string => `evil ${name}\n`

export class FilesClient {
  /** Requests to the server without an answer within 10 s, and 5xx that are no problem document or name internals. */
  counts = { hung: 0, leaking: 0 }

  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly timeoutMs = usualTimeoutMs,
  ) {}

  /** The body of an answer with 2xx; null for any other end. */
  async ask(method: string, path: string, body?: object): Promise<any> {
    return this.#send(method, path, body && JSON.stringify(body), { 'Content-Type': 'application/json' })
  }

  /** @returns the id of the attachment, null where it was not acknowledged. */
  async upload(taskId: string): Promise<string | null> {
    const form = new FormData()
    form.append('file', new File([contentOf(crypto.randomUUID())], 'note.txt', { type: 'text/plain' }))
    return (await this.#send('POST', `/api/tasks/${taskId}/attachments`, form))?.id ?? null
  }

  async remove(path: string): Promise<number> {
    return (await this.#send('DELETE', path)) === null ? 0 : 1
  }

  begin(taskId: string, name: string): Promise<DirectUpload | null> {
    const content = contentOf(name)
    return this.ask('POST', `/api/tasks/${taskId}/attachments/uploads`, {
      filename: 'note.txt',
      size: content.length,
      sha256: new Bun.CryptoHasher('sha256').update(content).digest('hex'),
      contentType: 'text/plain',
    })
  }

  /** Stores an object under a signed URL. @returns whether the store acknowledged it. */
  async store({ url, method, headers }: DirectUpload, content: string): Promise<boolean> {
    try {
      const signal = AbortSignal.timeout(this.timeoutMs)
      const { ok } = await fetch(url, { method, headers, body: content, signal, keepalive: false })
      return ok
    } catch {
      return false
    }
  }

  /** @returns whether the upload is verified or going to be. */
  async complete(id: string): Promise<boolean> {
    return (await this.ask('POST', `/api/attachments/${id}/complete`)) !== null
  }

  async isShown(taskId: string, id: string): Promise<boolean> {
    const page = await this.ask('GET', `/api/tasks/${taskId}/attachments`)
    return page?.items.some((item: { id: string }) => item.id === id) ?? false
  }

  async #send(
    method: string,
    path: string,
    body?: string | FormData,
    headers: Record<string, string> = {},
  ): Promise<any> {
    try {
      const response = await fetch(this.url + path, {
        method,
        headers: { Authorization: `Bearer ${this.token}`, ...(body !== undefined && headers) },
        ...(body !== undefined && { body }),
        signal: AbortSignal.timeout(this.timeoutMs),
      })
      const text = await response.text()
      if (response.status >= 500 && isLeaking(text)) this.counts.leaking += 1
      return response.ok ? (text === '' ? {} : JSON.parse(text)) : null
    } catch (error) {
      if (error instanceof DOMException && error.name === 'TimeoutError') this.counts.hung += 1
      await Bun.sleep(backOffMs)
      return null
    }
  }
}
