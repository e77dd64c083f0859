// A problem as it arrives. Codes are open: a newer server may know more of them than this client.
import type { Problem as KnownProblem } from '../../../../src/model/problem.ts'

export type ErrorCode = KnownProblem['code'] | 'unreadable' | (string & {})

export type Problem = Omit<KnownProblem, 'code' | 'requestId'> & {
  code: ErrorCode
  requestId?: string
  /** Further members, such as `currentVersion`. */
  [member: string]: unknown
}

/** The problem in a response's text; other texts (a proxy's page) become a problem with the code `unreadable`. */
export const readProblem = (status: number, instance: string, text: string): Problem => {
  try {
    const value: unknown = JSON.parse(text)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a problem of this server has a code
    if (typeof value === 'object' && value !== null && 'code' in value) return value as Problem
  } catch {
    // Not JSON: reported as unreadable below.
  }
  return {
    type: 'about:blank',
    title: 'Unreadable answer',
    status,
    detail: `${instance} answered ${status} with something that is no problem document; probably a proxy answered`,
    instance,
    code: 'unreadable',
  }
}
