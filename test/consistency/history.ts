// A history: what clients sent and received, in one process and on one clock, and what the log and the rows say at the
// end. Plain data: the recorder writes it, tests write broken ones by hand, the checker only reads it.

/** A task as an answer or a frame showed it. */
export interface SeenTask {
  task: string
  version: number
  /** All fields as canonical JSON; null where the answer leaves some out. */
  content: string | null
}

/** A number of the log. Numbers of a shard never start again, also not in a new epoch. */
export interface Position {
  shard: number
  seq: number
}

/** One request with all its repeats under one Idempotency-Key. */
export interface Call {
  kind: 'call'
  /** Id of the user. */
  client: string
  method: string
  target: string
  /** Milliseconds: when the first attempt of a write, or the answered attempt of a read, was sent. */
  start: number
  /** When its answer arrived; Infinity without one: the write may have happened, or happen later. */
  end: number
  /** 0 without an answer. */
  status: number
  key: string | null
  /** Requests sent; the answers of all but the last were lost. */
  attempts: number
  /** The version of `If-Match`. */
  ifMatch: number | null
  /** The version that a 412 names. */
  currentVersion: number | null
  /** `Tide-Cursor` of a write, `cursor` of a snapshot. */
  position: Position | null
  /** Whether the answer is a stored one: it shows the state at its write, not at this call. */
  replayed: boolean
  /** The tasks in the answer. */
  seen: SeenTask[]
  /** What was read; null for a write. */
  reads: 'task' | 'list' | 'snapshot' | null
  /** Of a list or snapshot the project, of another call the task in its path. */
  subject: string | null
  /** Whether a list or snapshot shows every task of its project. */
  isWhole: boolean
}

/** An event of the log as a socket, or a poll of `/api/sync`, received it. */
export interface Frame {
  kind: 'frame'
  client: string
  /** The live view that applied it; it outlives connections. */
  view: string
  at: number
  scope: string
  position: Position
  type: string
  entity: string | null
  version: number
  /** Of a task, as in `SeenTask`. */
  content: string | null
}

/** A step of a live view that is not an event. */
export interface Step {
  kind: 'step'
  client: string
  view: string
  at: number
  scope: string
  /**
   * `join`: the view starts or resumes at its cursor, or at the one it was given for none. `reached`: the server stated
   * that everything up to here was sent (`synced`, `position`). `snapshot`: the view starts over from a snapshot.
   * `revoked`: the subscription ended. `lost`: the view has no place in the scope until it joins again.
   */
  what: 'join' | 'reached' | 'snapshot' | 'revoked' | 'lost'
  position: Position | null
}

export type HistoryEvent = Call | Frame | Step

/** An entry of the log in PostgreSQL. */
export interface LogFact {
  scope: string
  position: Position
  type: string
  entity: string | null
  version: number
  actor: string | null
  key: string | null
  content: string | null
  /** The changed fields of an update. */
  changed: string[] | null
  /** Whose access it ends. */
  revokes: string | null
  /** Whether sockets receive it. */
  isLoud: boolean
  isQuiet: boolean
}

/** A row of a task at the end. */
export interface FinalTask extends SeenTask {
  project: string
}

/** A live view at the end, after it has caught up. */
export interface FinalView {
  client: string
  view: string
  project: string
  tasks: SeenTask[]
}

export interface Final {
  /** Every entry of the recorded scopes, in the order of shard and number. */
  log: LogFact[]
  tasks: FinalTask[]
  views: FinalView[]
}

export interface History {
  /** In the order of recording. */
  events: HistoryEvent[]
  final: Final
  /** Events that did not fit into the recorder: above 0 the history proves nothing. */
  dropped: number
}

/** All fields of an object in one order, so that equal values are equal texts. */
export const canonical = (value: object): string =>
  JSON.stringify(
    Object.fromEntries(Object.entries(value).toSorted(([left], [right]) => (left < right ? -1 : 1))),
  )

/** The place in a cursor; null for none. */
export const positionOf = (cursor: string | null | undefined): Position | null => {
  if (!cursor) return null
  const [, shard, seq] = cursor.split('.')
  return { shard: Number(shard), seq: Number(seq) }
}
