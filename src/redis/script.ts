// Lua scripts by their digest. Invariant: the text is sent only to a Redis that does not have the script, so that a call
// costs Redis neither the transfer of the text nor its SHA-1.
import type { Redis } from './connection.ts'

export interface Script {
  /** Runs the script with one key. @throws what Redis throws. */
  run(redis: Redis, key: string, ...args: (string | number)[]): Promise<unknown>
}

export const scriptOf = (text: string): Script => {
  const digest = new Bun.CryptoHasher('sha1').update(text).digest('hex')
  return {
    async run(redis, key, ...args) {
      try {
        return await redis.evalsha(digest, 1, key, ...args)
      } catch (error) {
        // After a restart or SCRIPT FLUSH; EVAL stores the script again. Nothing ran, so nothing is repeated.
        if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
        return redis.eval(text, 1, key, ...args)
      }
    },
  }
}
