// Unsent writes that outlive the page, in IndexedDB. One database a person: whoever signs in next must not send
// what somebody else wrote.
import type { PendingWrite } from './overlay.ts'
import type { OutboxStorage } from './outbox.ts'

const store = 'writes'

/** @param name of the database, such as `tasktide-<user id>`. */
export const indexedDbStorage = (name: string): OutboxStorage => {
  let opening: Promise<IDBDatabase> | null = null

  const open = async (): Promise<IDBDatabase> => {
    const request = indexedDB.open(name, 1)
    request.addEventListener('upgradeneeded', () =>
      request.result.createObjectStore(store, { keyPath: 'op' }),
    )
    const database = await done(request)
    const forget = (): void => {
      opening = null
    }
    // Whoever clears what sites store, or a later version of this, must not be in the way of the other.
    database.addEventListener('close', forget)
    database.addEventListener('versionchange', () => {
      database.close()
      forget()
    })
    return database
  }

  const within = async <T>(
    mode: IDBTransactionMode,
    work: (s: IDBObjectStore) => IDBRequest<T>,
  ): Promise<T> => {
    opening ??= open().catch((error: unknown) => {
      opening = null
      throw error
    })
    const transaction = (await opening).transaction(store, mode)
    const result = done(work(transaction.objectStore(store)))
    if (mode === 'readonly') return result
    // A request may succeed and its transaction still be undone, as when the disk is full.
    const [value] = await Promise.all([result, committed(transaction)])
    return value
  }

  return {
    load: () => within<PendingWrite[]>('readonly', (writes) => writes.getAll()),
    put: async (write) => {
      await within('readwrite', (writes) => writes.put(write))
    },
    remove: async (op) => {
      await within('readwrite', (writes) => writes.delete(op))
    },
  }
}

const failure = (error: DOMException | null): Error => error ?? new Error('IndexedDB gave no reason')

const done = <T>(request: IDBRequest<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    request.addEventListener('success', () => resolve(request.result))
    request.addEventListener('error', () => reject(failure(request.error)))
    if (request instanceof IDBOpenDBRequest)
      request.addEventListener('blocked', () => reject(new Error('another tab holds an old version open')))
  })

const committed = (transaction: IDBTransaction): Promise<void> =>
  new Promise((resolve, reject) => {
    transaction.addEventListener('complete', () => resolve())
    transaction.addEventListener('abort', () => reject(failure(transaction.error)))
  })
