// Answers of lists that the server processes share over Redis: what one has built, another sends. Invariant: an answer
// found here is sent only after its heads were compared with those in PostgreSQL (`KeptAnswers`), so that a value that is
// old, late or lost costs a rebuild and nothing else. Bounded: `slots` values of `maxBytes` for a minute each.
import packageJson from '../../package.json' with { type: 'json' }
import { withTimeout } from '../async/timeout.ts'
import type { ScopeHeads } from '../db/log/scope-heads.ts'
import { messageOf } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Role } from '../model/user.ts'
import type { StoredResponse } from '../model/stored-response.ts'

/** An answer with what it is valid for. */
export interface SharedAnswer extends ScopeHeads {
  role: Role
  response: StoredResponse
}

/** What a slot holds: its key is compared, because other keys have the same slot. */
interface Value extends SharedAnswer {
  key: string
}

/** The part of a Redis client that this needs. */
export interface TextStore {
  get(key: string): Promise<string | null>
  set(key: string, text: string, unit: 'PX', ms: number): Promise<unknown>
}

interface SharedAnswersDeps {
  redis: TextStore
  /** Other server processes, as far as this one knows: without any, nothing is shared. */
  servers: { readonly others: number }
  log: Log
}

const slots = 1_024
/** Of one value: together they take at most 32 MiB of Redis, which must not evict and so must not be filled. */
const maxBytes = 32 * 1024
const keptForMs = 60_000
/** A look-up that takes longer costs more than it saves. */
const deadlineMs = 20
/** After a failure, so that requests do not wait for a Redis that is away. */
const pauseMs = 1_000

export class SharedAnswers {
  #resumesAt = 0

  constructor(private readonly deps: SharedAnswersDeps) {}

  /** The answer that some process has built last; null where none is known. Never rejects. */
  async find(userId: string, url: string): Promise<SharedAnswer | null> {
    if (!this.#isOn) return null
    const key = keyOf(userId, url)
    try {
      const text = await withTimeout(deadlineMs, 'Redis', this.deps.redis.get(slotOf(key)))
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `offer` of this version, which the key names
      const value = text === null ? null : (JSON.parse(text) as Value)
      return value?.key === key ? value : null
    } catch (error) {
      this.#pause(error)
      return null
    }
  }

  /** Gives an answer to the other processes. Does not wait, and never throws. */
  offer(userId: string, url: string, { role, scopes, heads, response }: SharedAnswer): void {
    if (!this.#isOn || (response.body?.length ?? 0) > maxBytes) return
    const key = keyOf(userId, url)
    const text = JSON.stringify({ key, role, scopes, heads, response } satisfies Value)
    if (Buffer.byteLength(text) > maxBytes) return
    this.deps.redis.set(slotOf(key), text, 'PX', keptForMs).catch((error: unknown) => this.#pause(error))
  }

  get #isOn(): boolean {
    return this.deps.servers.others > 0 && performance.now() >= this.#resumesAt
  }

  #pause(error: unknown): void {
    this.#resumesAt = performance.now() + pauseMs
    this.deps.log.warn(
      { cause: messageOf(error), oncePerMinute: 'shared answers' },
      'Redis does not answer, lists are not shared with other servers',
    )
  }
}

/** A process of another version may render the same list differently. */
const keyOf = (userId: string, url: string): string => `${packageJson.version} ${userId} ${url}`

const slotOf = (key: string): string => `tide:list:${Bun.hash.crc32(key) % slots}`
