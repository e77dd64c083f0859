// What is read in coalesced statements: one thing by its id with a user's access to it, and heads of scopes.
import type { Scope } from '../model/scope.ts'
import type { User } from '../model/user.ts'
import type { DatabaseCalls } from './client.ts'
import { CoalescedRead } from './coalesced-read.ts'
import { selectHeadsForEach } from './log/scope-heads.ts'
import { selectProjectForEach, type ProjectRowFor } from './projects/projects.ts'
import { TaskTexts, type TaskText } from './tasks/task-texts.ts'
import { WordFrequencies } from './tasks/word-frequencies.ts'
import { selectUserForEach } from './users/users.ts'

/** All wait in the queue of their caller: 429 when that is full, 503 as every database call. */
export interface Reads {
  /** Null where there is no such task. The caller of the function authorizes. */
  task(userId: string, id: string): Promise<TaskText | null>
  /** Null where there is no such project. The caller of the function authorizes. */
  project(userId: string, id: string): Promise<ProjectRowFor | null>
  /** @param caller who asks; null where there is no such account. */
  user(caller: string, id: string): Promise<User | null>
  /** The heads of scopes now. @param id equal only for equal scopes; their text where it is not given. */
  heads(caller: string, scopes: readonly Scope[], id?: string): Promise<string>
  /** How common words are, which decides how a search reads. */
  readonly words: WordFrequencies
}

/** Scopes in one statement are at most this times `maxScopes`. */
const headListsAtOnce = 128

export const openReads = (db: Pick<DatabaseCalls, 'read'>): Reads => {
  const texts = new TaskTexts()
  const tasks = new CoalescedRead({ db, select: texts.selectForEach.bind(texts) })
  const projects = new CoalescedRead({ db, select: selectProjectForEach })
  const users = new CoalescedRead({ db, select: selectUserForEach })
  const heads = new CoalescedRead({ db, select: selectHeadsForEach, maxBatch: headListsAtOnce })
  return {
    task: (userId, id) => tasks.get(userId, id, { userId, id }),
    project: (userId, id) => projects.get(userId, id, { userId, id }),
    user: (caller, id) => users.get(caller, id, id),
    words: new WordFrequencies(),
    heads: (caller, scopes, id = scopes.join()) => heads.get(caller, id, scopes),
  }
}
