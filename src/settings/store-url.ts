// Checks the URLs of an object store. Invariant: a problem never quotes the URL.
import { httpUrlProblems } from './url.ts'

/** Scheme, host and port, and a path where the store has one; credentials have settings of their own. */
export const storeUrlProblems = (text: string): string[] =>
  httpUrlProblems(text, 'set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY')
