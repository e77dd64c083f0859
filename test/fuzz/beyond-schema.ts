// Rules of the API that no schema says: why a request that fits the document may be refused with 400 or 422. Everything
// else that is refused so is a violation of the document.
import type { FuzzRequest } from './request.ts'

export interface ProblemBody {
  code: string
  detail: string
  errors?: { pointer: string; detail: string }[]
}

/** Codes that say by themselves what the rule is. */
const codes = new Set([
  'link_invalid', // a token of a link that was never sent
  'user_not_found', // a person who does not exist, or whom the caller may not name
  'idempotency_key_reused',
])

/** Rules that are named by the pointer and the words of their refusal. */
const rules: [pointer: RegExp, detail: RegExp][] = [
  [
    /\/(?:parentId|projectId|before|after|assigneeId|mentions\/\d+)$/,
    /is not something you can use here|can read the task|below it|another task|deeper?\b/,
  ],
  [
    /^\/(?:currentPassword|password)$/,
    /is not the current password|common passwords|required for this change/,
  ],
  [/^\/search$/, /must contain a word/],
  [/^\/page$/, /is too deep/],
  [/^\/expiresAt$/, /must be in the future/],
  [/\/tags$/, /must have at most|would be more than/], // those the task has and those that are added
  [/^\/operations\/\d+\/id$/, /is unknown here/], // of a creation, beside `data` and in it
]

export const isBeyondSchema = ({ operation }: FuzzRequest, problem: ProblemBody): boolean => {
  if (codes.has(problem.code)) return true
  // Without its headers this is no handshake; without a position there is nothing to follow.
  if (operation?.template === '/api/ws') return problem.code === 'bad_request'
  if (problem.code === 'bad_cursor') return operation?.template === '/api/sync'
  if (problem.code !== 'validation_failed') return false
  const errors = problem.errors ?? []
  return (
    errors.length > 0 &&
    errors.every((error) =>
      rules.some(([pointer, detail]) => pointer.test(error.pointer) && detail.test(error.detail)),
    )
  )
}
