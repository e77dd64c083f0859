// An example of a problem of each code, for the OpenAPI document and the pages of codes: with the members that the code
// carries besides those of every problem.
import { codes, statusOf, type ErrorCode } from '../../errors.ts'

export const exampleId = '01933b6e-7c4a-7d3e-8f21-5a9c0b7d1e42'

type Members = Record<string, string | number | object>

const furtherMembers: Partial<Record<ErrorCode, Members>> = {
  validation_failed: { errors: [{ pointer: '/title', detail: 'must not be empty' }] },
  link_invalid: { errors: [{ pointer: '/token', detail: 'is no token of a link' }] },
  user_not_found: { errors: [{ pointer: '/email', detail: 'names no known person' }] },
  version_conflict: { currentVersion: 18 },
  sole_owner: { projects: [{ id: exampleId, name: 'Apollo' }] },
  cursor_expired: {
    reason: 'too_old',
    scope: `project:${exampleId}`,
    snapshot: `/api/projects/${exampleId}/snapshot`,
  },
  quota_exceeded: { storedBytes: 1_073_000_000, maxBytes: 1_073_741_824 },
  method_not_allowed: { allow: ['GET', 'HEAD', 'POST'] },
}

export const exampleProblem = (code: ErrorCode): Members => ({
  type: `/problems/${code}`,
  title: codes[code][1],
  status: statusOf[codes[code][0]],
  detail: codes[code][1],
  instance: '/api/tasks',
  code,
  requestId: exampleId,
  ...furtherMembers[code],
})
