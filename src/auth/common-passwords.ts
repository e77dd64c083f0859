// The 3,000 commonest passwords of at least 8 characters, commonest first in the file beside this one: the head of
// the list Django 5.2 ships (Royce Williams' collection of leaks, BSD-3-Clause), which is lower-case throughout.
import list from './common-passwords.txt' with { type: 'text' }

const common = new Set(list.trimEnd().split('\n'))

/** Whether guessing would begin with it, in whatever case it is written. */
export const isCommonPassword = (password: string): boolean => common.has(password.toLowerCase())
