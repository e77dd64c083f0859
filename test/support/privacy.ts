// Looks through every answer and frame that a test receives for what none may carry: hashes of passwords and tokens, and
// the address of a user other than the caller, unless the caller is an admin or has sent the address.
import type { Database } from '../../src/db/client.ts'
import { isId } from '../../src/model/scalar.ts'
import { canonicalEmail } from '../../src/model/text-form.ts'

interface Answered {
  method: string
  path: string
  /** As it was sent; undefined for none. */
  sent: string | undefined
  token: string | undefined
  text: string
}

interface Holder {
  id: string
  email: string
  role: string
}

export interface PrivacyCheck {
  /** @throws Error that names what the answer reveals. */
  check(answered: Answered): Promise<void>
}

const hash = /\$argon2|\$2[aby]\$\d\d\$|"(?:password|token)(?:_h|H)ash"/
/** Linear, unlike one expression for an address: answers have texts of megabytes. */
const addressesIn = (text: string): string[] =>
  text.includes('@') ? text.split(/[\s"'<>\\:,;?&/]+/).filter((word) => word.includes('@')) : []

/** Their answers are about the user that they sign in, whom no header names. */
const signsIn = /^\/api\/auth\/(?:register|login|refresh)$/

export const createPrivacyCheck = (db: Database): PrivacyCheck => {
  /** Addresses of sign-ins by user: the answers about oneself cost no statement, which tests count. */
  const own = new Map<string, string>()
  return {
    async check({ method, path, sent = '', token, text }) {
      const reveals = (what: string) =>
        new Error(`${method} ${path} reveals ${what}: ${text.slice(0, 2_000)}`)
      if (hash.test(text)) throw reveals('a hash of a password or token')
      if (signsIn.test(path)) {
        const user = jsonOf(text)?.user
        if (user) own.set(user.id, user.email)
        return
      }
      const sub = jsonOf(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString())?.sub
      const given = canonicalEmail(`${sent} ${path.replaceAll('%40', '@')} ${own.get(sub) ?? ''}`)
      const found = [...new Set(addressesIn(text))].map(canonicalEmail).filter((one) => !given.includes(one))
      if (found.length === 0) return
      // Other texts that look like an address, such as those in comments, are no user's.
      const holders = await db.read(
        (sql) => sql<Holder[]>`select id, email, role from users where email = any(${found})`,
      )
      if (holders.length === 0) return
      const caller = await callerOf(db, token, sub)
      const foreign = holders.filter(({ id }) => id !== caller?.id)
      if (foreign.length > 0 && caller?.role !== 'admin')
        throw reveals(`the address ${foreign[0]!.email}, which its user and admins alone may read`)
    },
  }
}

const callerOf = async (db: Database, token = '', sub: unknown): Promise<Holder | undefined> => {
  const digest = new Bun.CryptoHasher('sha256').update(token).digest()
  const [holder] = await db.read(
    (sql) => sql<Holder[]>`
      select id, email, role from users
      where id = ${typeof sub === 'string' && isId(sub) ? sub : null}
        or id = (select user_id from personal_tokens where token_hash = ${digest})`,
  )
  return holder
}

const jsonOf = (text: string): any => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // no JSON: a page, a file, or a token that is none
  }
}
