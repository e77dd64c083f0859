// Stores unsent writes and the last states of views while the program runs.
import type { ViewStorage } from './views/persisted-views.ts'
import type { PendingWrite } from './outbox/overlay.ts'
import type { OutboxStorage } from './outbox/outbox.ts'

export const memoryStorage = (): OutboxStorage & ViewStorage => {
  const writes = new Map<string, PendingWrite>()
  const views = new Map<string, string>()
  return {
    load: () => Promise.resolve([...writes.values()]),
    put: async (write) => void writes.set(write.op, write),
    remove: async (op) => void writes.delete(op),
    loadView: (key) => Promise.resolve(views.get(key) ?? null),
    async saveView(key, text) {
      views.delete(key) // the most recently saved is the last
      views.set(key, text)
    },
    removeView: async (key) => void views.delete(key),
    viewKeys: () => Promise.resolve([...views.keys()]),
  }
}
