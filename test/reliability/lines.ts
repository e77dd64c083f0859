// Every kind of fault that is promised to be survived, and where it is injected: rows of `bun run chaos` by suite and name,
// or tests by file and title where time itself is the fault.

export interface FaultLine {
  fault: string
  rows: readonly `${string} ${string}`[]
  tests?: readonly { file: string; title: string }[]
}

export const faultLines: readonly FaultLine[] = [
  { fault: 'A server killed with SIGKILL again and again', rows: ['realtime server-killed'] },
  { fault: 'A worker killed with SIGKILL again and again', rows: ['worker worker-killed'] },
  {
    fault: 'A process stopped for 5 to 60 s, then continued',
    rows: ['realtime server-stopped', 'worker worker-stopped', 'files worker-stopped'],
  },
  {
    fault: 'A crash at each named point of writes, pushes, fan-out and replays',
    rows: ['realtime crash-points', 'realtime batches-killed'],
  },
  {
    fault:
      'A crash at each named point of consumers, due times, jobs, uploads, direct uploads, deletions and sweeps',
    rows: [
      'worker worker-crash-points',
      'files workers-killed',
      'files server-killed',
      'files sweeps-killed',
    ],
  },
  { fault: 'Two workers on the same deliveries', rows: ['files workers-racing'] },
  { fault: 'PostgreSQL restarted, fast and immediate', rows: ['realtime postgres-restarted'] },
  { fault: 'All backends of PostgreSQL terminated', rows: ['realtime postgres-terminated'] },
  { fault: 'PostgreSQL half-open', rows: ['realtime postgres-half-open'] },
  { fault: 'Connections of PostgreSQL exhausted', rows: ['realtime postgres-exhausted'] },
  { fault: 'The disk of PostgreSQL full', rows: ['realtime postgres-full'] },
  { fault: 'Rows locked by another session', rows: ['realtime lock-held'] },
  {
    fault: 'Redis killed and started empty, FLUSHALL',
    rows: ['realtime redis-emptied', 'worker redis-emptied', 'files redis-emptied'],
  },
  { fault: 'Redis stopped or half-open', rows: ['realtime redis-frozen', 'realtime redis-cut'] },
  { fault: 'Redis out of memory', rows: ['realtime redis-full'] },
  { fault: 'Redis away', rows: ['realtime redis-away'] },
  { fault: 'The end of the append-only file of Redis lost', rows: ['realtime redis-tail-lost'] },
  { fault: 'A slow network, resets, late closes', rows: ['realtime network-slow'] },
  {
    fault: 'An object store that answers 500, is slow, half-open or away, or loses the answer of a PUT',
    rows: ['files storage-failing', 'files sweeps-racing', 'files project-deleted'],
  },
  {
    fault: 'Signed URLs stored to again during and after the verification, tasks deleted during it',
    rows: ['files urls-overwritten'],
  },
  { fault: 'An SMTP server that is away, refuses, is slow or loses answers', rows: ['worker smtp-failing'] },
  { fault: 'The clock of one process ten minutes off', rows: ['realtime clock-off'] },
  {
    fault: 'Clock changes and the leap day',
    rows: [],
    tests: [
      {
        file: 'test/domain/due-soon-time.test.ts',
        title: 'a day before is the same time of day, also where the clocks change in between',
      },
      {
        file: 'test/domain/statistics-days.test.ts',
        title: 'days are consecutive, also over the leap day and the end of a year',
      },
    ],
  },
  { fault: 'An entry that a consumer cannot process', rows: ['worker poison-entry'] },
  {
    fault: 'A rolling deployment under load',
    rows: ['realtime rolling-restart', 'worker worker-rolled'],
  },
  { fault: 'Clients that lose answers and repeat requests', rows: ['realtime answers-lost'] },
  { fault: 'Clients that refresh a session several times at once', rows: ['realtime refresh-doubled'] },
  { fault: 'Clients that stop reading', rows: ['realtime readers-stopped'] },
  {
    fault: 'All clients back at once, and very many connects',
    rows: ['realtime everyone-back', 'realtime connect-soak'],
  },
  { fault: 'A log that was restored: a new epoch', rows: ['realtime epoch-renewed'] },
  { fault: 'Random histories of pushes to a stream', rows: ['realtime stream-model'] },
]
