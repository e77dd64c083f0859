// How pages for administrators are answered: under a policy that permits nothing of another host and nothing inline.
import { bodyTag, type Answer } from '../response.ts'

/** `base-uri`: the links of the board are relative to its path. */
export const adminPagePolicy =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; worker-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"

export const adminText = (type: string, body: string): Answer =>
  bodyTag({
    status: 200,
    headers: {
      'Content-Type': `${type}; charset=utf-8`,
      'Content-Security-Policy': adminPagePolicy,
      'Cache-Control': 'private, no-cache',
    },
    body,
  })
