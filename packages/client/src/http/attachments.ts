// Files of tasks: upload with progress, download, list and removal.
import type { Attachment, DirectUpload } from '../../../../src/model/attachment.ts'
import type { HttpClient } from './http-client.ts'
import { list } from './pages.ts'
import type { PageQuery } from './pages.ts'
import { path } from './path.ts'
import type { CallOptions } from './request.ts'
import { sha256Of } from './sha256.ts'
import { fetchWithProgress, uploadTimeoutMs, type OnProgress } from './upload.ts'

export interface UploadOptions extends CallOptions {
  /** Shown to others; that of a `File` by default. */
  filename?: string | undefined
  /** Called while the file is sent, first with 0; again from 0 where an attempt is repeated. */
  onProgress?: OnProgress | undefined
}

export interface DownloadOptions extends Pick<CallOptions, 'signal'> {
  /** First byte. */
  start?: number | undefined
  /** Behind the last byte. */
  end?: number | undefined
  /** Milliseconds the download may take; ten minutes by default. */
  timeoutMs?: number | undefined
}

const downloadTimeoutMs = 600_000

export const createAttachments = (http: HttpClient) => ({
  /** Oldest first. */
  list: (taskId: string, query: PageQuery = {}) =>
    list<Attachment>(http, path`/api/tasks/${taskId}/attachments`, { ...query }),

  /**
   * Attaches a file of at most 10 MiB. Lost answers are repeated under one key, so that it is attached once.
   *
   * @example
   *   const stop = new AbortController()
   *   await client.attachments.upload(taskId, file, {
   *     signal: stop.signal,
   *     onProgress: ({ sent, total }) => (bar.value = sent / total),
   *   })
   */
  upload(taskId: string, file: Blob, options: UploadOptions = {}): Promise<Attachment> {
    const { filename = nameOf(file), onProgress, ...rest } = options
    const body = new FormData()
    body.append('file', file, filename)
    return http.value<Attachment>({
      method: 'POST',
      path: path`/api/tasks/${taskId}/attachments`,
      body,
      timeoutMs: uploadTimeoutMs(file.size),
      sendBy: onProgress && ((send) => fetchWithProgress(send, file.size, onProgress)),
      ...rest,
    })
  },

  /**
   * Attaches a file of at most 1 GiB past the server, where it keeps files in S3; ApiError `direct_upload_unavailable`
   * elsewhere. The file is read twice: for its hash, and to send it. Resolves when the server has accepted it for
   * verification: `attachment.added` follows, or `attachment.removed` with a reason. A lost connection is repeated from
   * the first byte. With a `key`, a repeated call within an hour uses the reservation of the first, in quota and URL.
   */
  async uploadDirectly(
    taskId: string,
    file: Blob,
    options: UploadOptions & { contentType?: string } = {},
  ): Promise<Attachment> {
    const { filename = nameOf(file), contentType = file.type, onProgress, signal, key } = options
    const sha256 = await sha256Of(file, signal)
    const begun = await http.value<DirectUpload>({
      method: 'POST',
      path: path`/api/tasks/${taskId}/attachments/uploads`,
      body: { filename, size: file.size, sha256, contentType },
      signal,
      key,
    })
    await http.store(begun, file, {
      signal,
      timeoutMs: uploadTimeoutMs(file.size),
      sendBy: onProgress && ((send) => fetchWithProgress(send, file.size, onProgress)),
    })
    return http.value<Attachment>({
      method: 'POST',
      path: path`/api/attachments/${begun.id}/complete`,
      signal,
    })
  },

  /** The bytes of a file, or a part of them, with its media type. */
  download(attachmentId: string, options: DownloadOptions = {}): Promise<Blob> {
    const { start, end, signal, timeoutMs = downloadTimeoutMs } = options
    const isPart = start !== undefined || end !== undefined
    return http.value<Blob>({
      method: 'GET',
      path: path`/api/attachments/${attachmentId}`,
      range: isPart ? { start: start ?? 0, end } : undefined,
      isBinary: true,
      signal,
      timeoutMs,
    })
  },

  delete: (attachmentId: string, options: CallOptions = {}) =>
    http.value<null>({ method: 'DELETE', path: path`/api/attachments/${attachmentId}`, ...options }),
})

const nameOf = (file: Blob): string => ('name' in file && typeof file.name === 'string' ? file.name : 'file')
