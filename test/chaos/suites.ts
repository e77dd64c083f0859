// The faults of a suite, in order. A new fault is a file in `faults/` and a line here.
import type { Fault } from './fault.ts'
import { answersLost } from './faults/answers-lost.ts'
import { batchesKilled } from './faults/batches-killed.ts'
import { clockOff } from './faults/clock-off.ts'
import { connectSoak } from './faults/connect-soak.ts'
import { crashPoints } from './faults/crash-points.ts'
import { epochRenewed } from './faults/epoch-renewed.ts'
import { everyoneBack } from './faults/everyone-back.ts'
import { lockHeld } from './faults/lock-held.ts'
import { networkSlow } from './faults/network-slow.ts'
import { postgresExhausted } from './faults/postgres-exhausted.ts'
import { poisonEntry } from './faults/poison-entry.ts'
import { postgresFull } from './faults/postgres-full.ts'
import { postgresHalfOpen } from './faults/postgres-half-open.ts'
import { postgresRestarted } from './faults/postgres-restarted.ts'
import { postgresTerminated } from './faults/postgres-terminated.ts'
import { readersStopped } from './faults/readers-stopped.ts'
import { redisAway } from './faults/redis-away.ts'
import { redisCut } from './faults/redis-cut.ts'
import { redisEmptied } from './faults/redis-emptied.ts'
import { redisFrozen } from './faults/redis-frozen.ts'
import { redisFull } from './faults/redis-full.ts'
import { redisTailLost } from './faults/redis-tail-lost.ts'
import { refreshDoubled } from './faults/refresh-doubled.ts'
import { rollingRestart } from './faults/rolling-restart.ts'
import { serverKilled } from './faults/server-killed.ts'
import { serverStopped } from './faults/server-stopped.ts'
import { smtpFailing } from './faults/smtp-failing.ts'
import { streamModel } from './faults/stream-model.ts'
import { workerCrashPoints } from './faults/worker-crash-points.ts'
import { workerKilled } from './faults/worker-killed.ts'
import { workerRolled } from './faults/worker-rolled.ts'
import { workerStopped } from './faults/worker-stopped.ts'

export const suites: Record<string, Fault[]> = {
  realtime: [
    serverKilled,
    crashPoints,
    batchesKilled,
    serverStopped,
    redisEmptied,
    redisCut,
    redisFrozen,
    redisFull,
    redisAway,
    redisTailLost,
    streamModel,
    postgresRestarted,
    postgresTerminated,
    postgresHalfOpen,
    postgresExhausted,
    postgresFull,
    lockHeld,
    networkSlow,
    answersLost,
    refreshDoubled,
    clockOff,
    epochRenewed,
    readersStopped,
    rollingRestart,
    everyoneBack,
    connectSoak,
  ],
  worker: [
    workerKilled,
    workerCrashPoints,
    workerStopped,
    workerRolled,
    smtpFailing,
    redisEmptied,
    poisonEntry,
  ],
}
