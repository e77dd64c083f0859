// Files of tasks: upload with progress, download, list and removal.
import type { Attachment } from '../../../../src/model/attachment.ts'
import type { HttpClient } from './http-client.ts'
import { list } from './pages.ts'
import type { PageQuery } from './pages.ts'
import { path } from './path.ts'
import type { CallOptions } from './request.ts'
import { createDirectUploads } from './direct-upload.ts'
import { fetchWithProgress, nameOf, uploadTimeoutMs, type UploadOptions } from './upload.ts'

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

  /** @see createDirectUploads */
  ...createDirectUploads(http),

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
