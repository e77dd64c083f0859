// Queues the deletion of the objects whose rows went with an entry. Their `file_deletions` committed with the entry, so
// they are all there when it is handled; which of them belong to which entry does not matter.
import { mayHaveMore, queueFileDeletions } from '../../db/files/deletion-queue.ts'
import type { EventType } from '../../model/event.ts'
import type { Consumer } from '../engine/consumer.ts'

const removing = new Set<EventType | 'control'>(['attachment.removed', 'task.deleted', 'project.deleted'])

/** Transactions stay short: what exceeds them is queued by the loop, seconds later. */
const maxRounds = 10

export const attachments: Consumer = {
  name: 'attachments',
  concerns: ({ type, control }) => removing.has(type) || control?.kind === 'disabled',
  async handle(tx) {
    for (let round = 0; round < maxRounds && mayHaveMore(await queueFileDeletions(tx)); round += 1);
    return []
  },
}
