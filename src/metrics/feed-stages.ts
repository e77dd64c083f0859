// How long entries take on their way from COMMIT to sockets, by stage. Recorded for each batch, not for each entry.
import { Histogram, secondsBounds } from './histogram.ts'
import type { Sample } from './exposition.ts'

export interface FeedStages {
  /** In the process that wrote: from COMMIT to the reply of the push. */
  commitToStream: Histogram
  /** In the process that follows: from the reply of the stream to the subscribers' queue. */
  streamToHub: Histogram
  /** From the subscribers' queue to the last socket of the scope. */
  hubToSocket: Histogram
  /** From the time in the entry, by the clock of PostgreSQL, to the subscribers' queue, by the clock of this process. */
  commitToHub: Histogram
}

export const newFeedStages = (): FeedStages => ({
  commitToStream: new Histogram(secondsBounds),
  streamToHub: new Histogram(secondsBounds),
  hubToSocket: new Histogram(secondsBounds),
  commitToHub: new Histogram(secondsBounds),
})

export const stageSamples = (stages: FeedStages): Sample[] => [
  { labels: { stage: 'commit_to_stream' }, value: stages.commitToStream },
  { labels: { stage: 'stream_to_hub' }, value: stages.streamToHub },
  { labels: { stage: 'hub_to_socket' }, value: stages.hubToSocket },
  { labels: { stage: 'commit_to_hub' }, value: stages.commitToHub },
]
