// Reads the body of a one-click unsubscription (RFC 8058): a form that says nothing but `List-Unsubscribe=One-Click`,
// which the address says as well. So it is counted and not parsed; a mail provider may send it either way.
import { Deadline } from '../../async/timeout.ts'
import { AppError, overloaded } from '../../errors.ts'
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
  const reader = request.body.getReader()
  using deadline = new Deadline(deadlineMs, () => overloaded('A body did not arrive in time'))
  try {
    let length = 0
    for (;;) {
      const { done, value } = await deadline.race(reader.read())
      if (done) break
      length += value.byteLength
      if (length > maxBytes) throw new AppError('payload_too_large')
      reserve(length)
    }
  } catch (error) {
    void reader.cancel().catch(() => {}) // the answer closes the connection
    throw error
  }
  complete()
  return undefined
}

export const oneClickBody: BodyReader = { kind: 'value', maxBytes, mediaTypes: () => forms, read }
