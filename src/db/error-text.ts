// The text of an error as a row keeps it.

const maxLength = 2_000

/** The beginning, without what PostgreSQL does not store: NUL and lone surrogates. */
export const errorText = (error: string): string =>
  error.slice(0, maxLength).toWellFormed().replaceAll('\0', '')
