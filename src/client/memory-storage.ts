// Unsent writes for as long as the program runs.
import type { PendingWrite } from './overlay.ts'
import type { OutboxStorage } from './outbox.ts'

export const memoryStorage = (): OutboxStorage => {
  const writes = new Map<string, PendingWrite>()
  return {
    load: () => Promise.resolve([...writes.values()]),
    put: async (write) => void writes.set(write.op, write),
    remove: async (op) => void writes.delete(op),
  }
}
