// Makes the activity of projects from their log entries.
import { activityConsumer, insertActivities } from '../../db/activity/activity.ts'
import { activityOf, mayBeActivity } from '../../domain/activity/rows.ts'
import type { Consumer } from '../engine/consumer.ts'

export const activity: Consumer = {
  name: activityConsumer,
  // What the log still has when the consumer is installed is its starting state.
  startsAt: 'oldest',
  collectMs: 500,
  maxBatch: 500,
  concerns: mayBeActivity,
  async handle(tx, entries) {
    await insertActivities(
      tx,
      entries.flatMap((entry) => activityOf(entry) ?? []),
    )
    return []
  },
}
