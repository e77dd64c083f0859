// Checks the URLs of an object store. Invariant: a problem never quotes the URL.
import { readUrl } from './url.ts'

/** Scheme, host and port, and a path where the store has one; credentials have settings of their own. */
export const storeUrlProblems = (text: string): string[] => {
  const { url, problems } = readUrl(text, ['http:', 'https:'])
  if (!url) return problems
  if (url.username !== '' || url.password !== '')
    return ['contains credentials: set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY instead']
  return url.search === '' ? [] : ['has parameters: leave them out']
}
