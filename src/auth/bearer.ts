// The token of an Authorization header, for requests and socket upgrades alike.

/** The token after `Bearer` and one or more spaces; null for another scheme or what cannot be a token. */
export const bearerTokenOf = (header: string): string | null =>
  /^Bearer +([\w.~+/=-]{1,4096})$/i.exec(header)?.[1] ?? null
