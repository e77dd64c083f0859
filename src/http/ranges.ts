// Range requests (RFC 9110, 14): one range of bytes. Several ranges, other units and malformed headers are ignored, as
// the standard permits: the answer is then the whole.
import { AppError } from '../errors.ts'
import type { ByteRange } from '../storage/storage.ts'

/**
 * The range a request asks for; null for the whole.
 * @param size bytes of the whole. @param etag its strong tag, which `If-Range` has to name.
 * @throws AppError 416 where the range begins behind the end.
 */
export const rangeOf = ({ headers }: Request, size: number, etag: string): ByteRange | null => {
  const header = headers.get('range')
  if (header === null) return null
  const condition = headers.get('if-range')
  if (condition !== null && condition !== etag) return null
  const [, first, last] = /^bytes=[ \t]*(\d*)-(\d*)[ \t]*$/i.exec(header) ?? []
  if (first === undefined || last === undefined || first + last === '') return null
  const range =
    first === ''
      ? { start: Math.max(0, size - Number(last)), end: size }
      : { start: Number(first), end: Math.min(size, last === '' ? size : Number(last) + 1) }
  if (first !== '' && last !== '' && Number(last) < Number(first)) return null
  if (range.start >= size || range.end <= range.start) throw notSatisfiable(size)
  return range
}

const notSatisfiable = (size: number): AppError =>
  new AppError('range_not_satisfiable', 'The range begins behind the end of the file', { extra: { size } })
