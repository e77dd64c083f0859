// Direct uploads to the store, which a later run of the program can continue: reserve, store, announce. Invariant: each step may be
// repeated. The object is stored under one name, and announcing it again does nothing.
import type { Attachment, DirectUpload } from '../../../../src/model/attachment.ts'
import { ApiError, InvalidArgumentError, UploadExpiredError, UploadRefusedError } from '../errors.ts'
import type { HttpClient } from './http-client.ts'
import { path } from './path.ts'
import type { CallOptions } from './request.ts'
import { sha256Of } from './sha256.ts'
import { fetchWithProgress, nameOf, uploadTimeoutMs, type OnProgress, type UploadOptions } from './upload.ts'

/**
 * A direct upload that has not ended, as JSON for a later run of the program. Its URL is a secret: until `expiresAt` every
 * program that has it can store another file in place of this one.
 */
export interface PendingUpload extends DirectUpload {
  /** Bytes of the file. */
  size: number
  /** Whether the store has the whole file: then only its announcement is missing. */
  isStored: boolean
}

export interface ResumeOptions extends Pick<CallOptions, 'signal'> {
  onProgress?: OnProgress | undefined
  /**
   * Called when the upload has been reserved and when the file is stored, each with what `resumeUpload` needs; waited for,
   * so that it is kept before the next step begins.
   */
  onPending?: ((pending: PendingUpload) => void | Promise<void>) | undefined
  /** How often the file is sent at most, each time from its first byte; 4 by default. */
  attempts?: number | undefined
}

export interface DirectUploadOptions extends UploadOptions, ResumeOptions {
  /** Needed where `file.type` is empty. */
  contentType?: string | undefined
}

export const createDirectUploads = (http: HttpClient) => ({
  /**
   * Attaches a file of at most 1 GiB past the server, where it keeps files in S3; ApiError `direct_upload_unavailable`
   * elsewhere. The file is read twice: for its hash, and to send it. Resolves when the server has accepted it for
   * verification: `attachment.added` follows, or `attachment.removed` with a reason. A lost connection is repeated from
   * the first byte. With a `key`, a repeated call within an hour uses the reservation of the first, in quota and URL.
   */
  async uploadDirectly(taskId: string, file: Blob, options: DirectUploadOptions = {}): Promise<Attachment> {
    const { filename = nameOf(file), contentType = file.type, signal, key } = options
    const sha256 = await sha256Of(file, signal)
    const begun = await http.value<DirectUpload>({
      method: 'POST',
      path: path`/api/tasks/${taskId}/attachments/uploads`,
      body: { filename, size: file.size, sha256, contentType },
      signal,
      key,
    })
    const pending = { ...begun, size: file.size, isStored: false }
    await options.onPending?.(pending)
    return finish(http, pending, file, options)
  },

  /**
   * Continues an upload that `uploadDirectly` has begun, in this or in an earlier run of the program: under the same
   * reservation, without reading the file for its hash, and without sending it where it is stored already. A file that is
   * not stored is sent from its first byte. Throws UploadExpiredError an hour after the upload was begun.
   *
   * @example
   *   const onPending = (pending) => localStorage.setItem(name, JSON.stringify(pending))
   *   await client.attachments.uploadDirectly(taskId, file, { onPending })
   *   // in the next run, with the same file
   *   await client.attachments.resumeUpload(JSON.parse(localStorage.getItem(name)), file)
   */
  async resumeUpload(pending: PendingUpload, file: Blob, options: ResumeOptions = {}): Promise<Attachment> {
    if (file.size !== pending.size)
      throw new InvalidArgumentError(
        `The file has ${file.size} bytes, and the upload ${pending.id} was begun with one of ${pending.size}`,
      )
    return finish(http, pending, file, options)
  },
})

const finish = async (
  http: HttpClient,
  pending: PendingUpload,
  file: Blob,
  { signal, onProgress, onPending, attempts }: ResumeOptions,
): Promise<Attachment> => {
  try {
    if (!pending.isStored) {
      await http.store(pending, file, {
        signal,
        timeoutMs: uploadTimeoutMs(file.size),
        sendBy: onProgress && ((send) => fetchWithProgress(send, file.size, onProgress)),
        ...(attempts !== undefined && { attempts }),
      })
      await onPending?.({ ...pending, isStored: true })
    }
    return await http.value<Attachment>({
      method: 'POST',
      path: path`/api/attachments/${pending.id}/complete`,
      signal,
    })
  } catch (error) {
    throw hasExpired(error, pending) ? new UploadExpiredError(pending.id, pending.expiresAt, error) : error
  }
}

/** The server says so; the store refuses with 403 for many reasons, and the time of its answer tells them apart. */
const hasExpired = (error: unknown, { expiresAt }: DirectUpload): boolean =>
  error instanceof UploadRefusedError
    ? error.status === 403 && error.answeredAt.getTime() >= Date.parse(expiresAt)
    : error instanceof ApiError && error.code === 'upload_expired'
