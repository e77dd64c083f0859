// The text of a personal access token: a prefix that secret scanners know, and 256 random bits. Invariant: a text of
// another form is no token, and is refused without a statement.

const prefix = 'ttp_'
const form = /^ttp_[\w-]{43}$/

export const newPersonalToken = (): string =>
  prefix + Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('base64url')

export const isPersonalToken = (text: string): boolean => form.test(text)

export const personalTokenHash = (token: string): Buffer =>
  new Bun.CryptoHasher('sha256').update(token).digest()
