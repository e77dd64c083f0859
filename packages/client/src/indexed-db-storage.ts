// Stores unsent writes and the last states of views in IndexedDB. Each user needs a name of their own: a write must not be
// sent by the next user. Views have a second database, so that older versions still open the database of writes.
import type { ViewStorage } from './views/persisted-views.ts'
import type { PendingWrite } from './outbox/overlay.ts'
import type { OutboxStorage } from './outbox/outbox.ts'

/** @param name of the database of writes, such as `tasktide-<user id>`; that of views ends with `-views`. */
export const indexedDbStorage = (name: string): OutboxStorage & ViewStorage => {
  const writes = database(name, 'writes', { keyPath: 'op' })
  const views = database(`${name}-views`, 'views', {})
  return {
    load: () => writes<PendingWrite[]>('readonly', (store) => store.getAll()),
    put: async (write) => {
      await writes('readwrite', (store) => store.put(write))
    },
    remove: async (op) => {
      await writes('readwrite', (store) => store.delete(op))
    },
    async loadView(key) {
      const text = await views<unknown>('readonly', (store) => store.get(key))
      return typeof text === 'string' ? text : null
    },
    saveView: async (key, text) => {
      await views('readwrite', (store) => store.put(text, key))
    },
    removeView: async (key) => {
      await views('readwrite', (store) => store.delete(key))
    },
    viewKeys: async () => (await views('readonly', (store) => store.getAllKeys())).map(String),
  }
}

type Within = <T>(mode: IDBTransactionMode, work: (store: IDBObjectStore) => IDBRequest<T>) => Promise<T>

/** One store in a database of its own, opened when it is first needed. */
const database = (name: string, store: string, parameters: IDBObjectStoreParameters): Within => {
  let opening: Promise<IDBDatabase> | null = null

  const open = async (): Promise<IDBDatabase> => {
    const request = indexedDB.open(name, 1)
    request.addEventListener('upgradeneeded', () => request.result.createObjectStore(store, parameters))
    const database = await done(request)
    const forget = (): void => {
      opening = null
    }
    // An open connection would block clearing the site's data and upgrades by a later version.
    database.addEventListener('close', forget)
    database.addEventListener('versionchange', () => {
      database.close()
      forget()
    })
    return database
  }

  return async (mode, work) => {
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
}

const failure = (error: DOMException | null): Error => error ?? new Error('IndexedDB reported no reason')

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
