// What each session had written and seen before each of its calls. One pass over all moments in the order of the clock:
// what a session learns at a moment counts for the calls that it sends after it.
import type { Call, HistoryEvent, LogFact, Position } from './history.ts'
import { isAnswered, isStrong, isTask, isWrite, type Timeline } from './timeline.ts'

/** One thing a session knows, and the event that taught it. */
export interface Known {
  fact: LogFact | null
  source: HistoryEvent
}

/** The newest that a session knows of tasks, of projects and of shards, which several projects share. */
class Knowledge {
  readonly tasks = new Map<string, Known & { version: number }>()
  readonly scopes = new Map<string, Known & { seq: number }>()
  readonly shards = new Map<number, Known & { seq: number }>()

  learn(fact: LogFact, source: HistoryEvent): void {
    this.learnNumber(fact.position, source, fact)
    const known = this.scopes.get(fact.scope)
    if (!known || known.seq < fact.position.seq)
      this.scopes.set(fact.scope, { seq: fact.position.seq, fact, source })
    if (!isTask(fact.type) || fact.entity === null) return
    const held = this.tasks.get(fact.entity)
    if (!held || held.version < fact.version)
      this.tasks.set(fact.entity, { version: fact.version, fact, source })
  }

  learnNumber({ shard, seq }: Position, source: HistoryEvent, fact: LogFact | null = null): void {
    const held = this.shards.get(shard)
    if (!held || held.seq < seq) this.shards.set(shard, { seq, fact, source })
  }
}

export interface Session {
  /** By its own answered writes. */
  wrote: Knowledge
  /** By answers and by frames of its views. */
  saw: Knowledge
}

/** Shared snapshots are at most this old, milliseconds. */
const sharedForMs = 2_000
/** Between the clocks of two processes of one machine, and for the way of the request. */
const marginMs = 50

export interface SessionVisitor {
  /** `before`: what its session knew when the call was sent; `floor`: the number it had seen of the snapshot's project 2 s earlier. */
  onCall: (call: Call, before: Session, floor: (Known & { seq: number }) | null) => void
}

/** Of a snapshot. */
export const scopeOf = ({ subject }: Call): string => `project:${subject}`

/** Visits every call with what its session knew when it was sent. */
export const visitSessions = (timeline: Timeline, { onCall }: SessionVisitor): void => {
  const sessions = new Map<string, Session>()
  const sessionOf = (client: string): Session => {
    let session = sessions.get(client)
    if (!session) sessions.set(client, (session = { wrote: new Knowledge(), saw: new Knowledge() }))
    return session
  }
  const floors = new Map<Call, Known & { seq: number }>()
  const moments: { at: number; order: number; run: () => void }[] = []
  for (const call of timeline.calls) {
    const { client, start, end, position, reads } = call
    if (reads === 'snapshot' && position) {
      moments.push({
        at: start - sharedForMs - marginMs,
        order: 0,
        run: () => {
          const floor = sessionOf(client).saw.scopes.get(scopeOf(call))
          if (floor) floors.set(call, floor)
        },
      })
    }
    moments.push({
      at: start,
      order: 0,
      run: () => onCall(call, sessionOf(client), floors.get(call) ?? null),
    })
    if (end !== Infinity && isAnswered(call))
      moments.push({ at: end, order: 1, run: () => learnFrom(timeline, call, sessionOf(client)) })
  }
  for (const event of timeline.stream) {
    if (event.kind !== 'frame') continue
    const fact = timeline.factAt(event.position)
    moments.push({
      at: event.at,
      order: 1,
      run: () => {
        const { saw } = sessionOf(event.client)
        if (fact) saw.learn(fact, event)
        else saw.learnNumber(event.position, event)
      },
    })
  }
  moments.sort((a, b) => a.at - b.at || a.order - b.order)
  for (const { run } of moments) run()
}

const learnFrom = (timeline: Timeline, call: Call, { wrote, saw }: Session): void => {
  for (const { task, version } of call.seen) {
    const fact = timeline.factOf(task, version)
    if (!fact) continue
    // A stored or shared answer shows what was true earlier: still something the session has seen.
    saw.learn(fact, call)
    // With a key its own entries are known; its answer may show tasks that it did not change.
    if (isWrite(call) && isStrong(call) && call.key === null) wrote.learn(fact, call)
  }
  if (call.reads === 'snapshot' && call.position) saw.learnNumber(call.position, call)
  if (!isWrite(call)) return
  for (const fact of timeline.effectsOf(call)) {
    wrote.learn(fact, call)
    saw.learn(fact, call)
  }
  if (call.position) {
    wrote.learnNumber(call.position, call)
    saw.learnNumber(call.position, call)
  }
}
