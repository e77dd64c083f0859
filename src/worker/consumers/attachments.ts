// Queues the deletion of the objects that no row names since an entry: of what was removed, and the object of the URL of a
// direct upload, of which a copy is shown. Their `file_deletions` committed with the entry, so they are all there when it
// is handled; which of them belong to which entry does not matter.
import { mayHaveMore, queueFileDeletions } from '../../db/files/deletion-queue.ts'
import type { EventType } from '../../model/event.ts'
import type { Consumer } from '../engine/consumer.ts'

const listing = new Set<EventType | 'control'>([
  'attachment.added',
  'attachment.removed',
  'task.deleted',
  'project.deleted',
])

/** Transactions stay short: what exceeds them is queued by the loop, seconds later. */
const maxRounds = 10

export const attachments: Consumer = {
  name: 'attachments',
  concerns: ({ type, control }) => listing.has(type) || control?.kind === 'disabled',
  async handle(tx) {
    for (let round = 0; round < maxRounds && mayHaveMore(await queueFileDeletions(tx)); round += 1);
    return []
  },
}
