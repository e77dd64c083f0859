// The answer that sends a file of the storage: always to be saved, never to be shown, whatever is in it.
import { notFound } from '../errors.ts'
import type { Log } from '../log.ts'
import { attachmentDisposition } from '../model/file-name.ts'
import type { Storage } from '../storage/storage.ts'
import { rangeOf } from './ranges.ts'
import type { RequestContext } from './request-context.ts'
import { isKnown, type Answer } from './response.ts'

interface DownloadDeps {
  storage: Storage
  log: Log
}

/** A file that its row describes. */
export interface DownloadedFile {
  storageKey: string
  filename: string
  contentType: string
  size: number
  sha256: string
}

/** The strong tag of a file: it names its bytes. */
export const fileTag = ({ sha256 }: Pick<DownloadedFile, 'sha256'>): string => `"${sha256}"`

/**
 * 200, or 206 for a range. Nothing is opened for HEAD, and for a file the client has.
 * @throws AppError 404 where the object is missing, 416, 503
 */
export const download = async (
  { storage, log }: DownloadDeps,
  { request, method }: Pick<RequestContext, 'request' | 'method'>,
  file: DownloadedFile,
): Promise<Answer> => {
  const tag = fileTag(file)
  const headers = {
    'Content-Type': file.contentType,
    'Content-Disposition': attachmentDisposition(file.filename),
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'private, no-cache',
    ETag: tag,
  }
  if (isKnown(request, tag)) return { status: 200, headers, body: null } // sent as 304
  const range = rangeOf(request, file.size, tag)
  const { start, end } = range ?? { start: 0, end: file.size }
  const part = {
    status: range ? 206 : 200,
    headers: {
      ...headers,
      'Content-Length': String(end - start),
      ...(range && { 'Content-Range': `bytes ${start}-${end - 1}/${file.size}` }),
    },
  }
  if (method === 'HEAD') return { ...part, body: null }
  const object = await storage.get(file.storageKey, range ?? undefined)
  if (!object) {
    log.error({ key: file.storageKey }, 'the object of a row is missing in the storage')
    throw notFound()
  }
  return { ...part, body: object.body }
}
