// Paths of requests, built from text that may be anything. Invariant: a `Path` renders to the route that is
// written in the template, with each inserted text as exactly one segment.
//
// Percent-encoding alone does not give that: URL parsers (fetch, proxies) resolve `.` and `..` before the request is
// sent, also when they are written `%2e%2e`, so `DELETE /tasks/<id>/tags/..` becomes `DELETE /tasks/<id>/`. No
// encoding of such a segment survives, so it is refused here, like an empty one (it removes a segment) and a lone
// surrogate (it has no UTF-8).
import { InvalidArgumentError } from '../errors.ts'

export interface Path {
  /** The path as sent, without a query. @throws InvalidArgumentError where an inserted text cannot be a segment. */
  readonly text: string
}

/** `` path`/api/tasks/${taskId}` ``. A wrong segment throws where the path is sent, so that it rejects a promise. */
export const path = (route: TemplateStringsArray, ...segments: string[]): Path => ({
  get text() {
    const text = route.reduce((before, part, index) => `${before}${segmentOf(segments[index - 1])}${part}`)
    if (segments.length > 0 && fixedRoutes.has(text))
      throw new InvalidArgumentError(`"${segments.join('", "')}" is no id: ${text} is another route`)
    return text
  },
})

/** Routes without parameters that have the form of one with them: an id must not select them. */
const fixedRoutes = new Set([
  '/api/users/me',
  '/api/users/me/avatar',
  '/api/users/search',
  '/api/tasks/bulk',
  '/api/tasks/batch',
  '/api/tasks/stats',
])

const segmentOf = (value: unknown): string => {
  if (typeof value !== 'string') throw new InvalidArgumentError(`${typeof value} is not text`)
  if (value === '') throw new InvalidArgumentError('an empty text names nothing')
  if (value === '.' || value === '..')
    throw new InvalidArgumentError(
      `"${value}" cannot be part of a path: URL parsers resolve it to another one`,
    )
  return encodeURIComponent(wellFormed(value))
}

/** The text itself. @throws InvalidArgumentError for a lone surrogate, which `URLSearchParams` replaces silently. */
export const wellFormed = (text: string): string => {
  if (/\p{Surrogate}/u.test(text)) throw new InvalidArgumentError('the text has half of a surrogate pair')
  return text
}
