// Reads the body of a one-click unsubscription (RFC 8058): a form that says nothing but `List-Unsubscribe=One-Click`,
// which the address says as well. So it is counted and not parsed; a mail provider may send it either way.
import { AppError } from '../../errors.ts'
import { readHeldChunks } from './chunks.ts'
import type { BodyInput, BodyReader } from './reader.ts'

const maxBytes = 4 * 1024

const forms = ['application/x-www-form-urlencoded', 'multipart/form-data'] as const

const read = async ({ request, mediaType, deadlineMs, reserve, complete }: BodyInput): Promise<undefined> => {
  if (!request.body) {
    complete()
    return undefined
  }
  if (!forms.some((form) => form === mediaType.trim().toLowerCase()))
    throw new AppError('unsupported_media_type', 'Send a form')
  await readHeldChunks(request.body, { maxBytes, deadlineMs, reserve }, () => {})
  complete()
  return undefined
}

export const oneClickBody: BodyReader = { kind: 'value', maxBytes, mediaTypes: () => forms, read }
