// An entry of the log as the fields of a stream entry. Servers need scope, frame and control for the fan-out: these are
// fields of their own. All other properties are one JSON text that is parsed on first access, by workers.
import type { Scope } from '../model/scope.ts'
import type { Changes, Control, EventType, LogEntry } from '../model/event.ts'

/** Stream id and alternating field names and values, as Redis returns them. */
export type RawEntry = [id: string, fields: string[]]

type Rest = [
  type: EventType | 'control',
  entityId: string | null,
  version: number,
  actorId: string | null,
  op: string | null,
  at: string,
  changes: Changes | null,
  quiet: boolean,
  /** Absent where the previous version wrote the entry. */
  override?: boolean,
  /** Absent where nothing traces the write. The only text that can be the last. */
  trace?: string,
]

/** Values of the fields s, f, c and e: `push-entries.lua` names them in this order. */
export const encodeEntry = (entry: LogEntry): [string, string, string, string] => {
  const { type, entityId, version, actorId, op, at, changes, quiet, override, trace = null } = entry
  const rest: Rest = [type, entityId, version, actorId, op, at, changes, quiet]
  if (override || trace !== null) rest.push(override)
  if (trace !== null) rest.push(trace)
  return [
    entry.scope,
    entry.frame ?? '',
    entry.control ? JSON.stringify(entry.control) : '',
    JSON.stringify(rest),
  ]
}

/** The number in the stream id `<seq>-0`. */
export const seqOf = (id: string): number => Number(id.slice(0, id.indexOf('-')))

/** Trusts the fields: the push script is the only writer of these streams. */
export const decodeEntry = (shard: number, [id, fields]: RawEntry): LogEntry => {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a parse boundary, see above
  const scope = fields[1] as Scope
  const control: Control | null = fields[5] ? JSON.parse(fields[5]) : null
  return new StreamedEntry(shard, seqOf(id), scope, fields[3] || null, control, fields[7]!)
}

/** A log entry whose JSON part is parsed on first access. A spread does not copy its accessors. */
class StreamedEntry implements LogEntry {
  #rest: Rest | undefined

  constructor(
    readonly shard: number,
    readonly seq: number,
    readonly scope: Scope,
    readonly frame: string | null,
    readonly control: Control | null,
    private readonly json: string,
  ) {}

  private get rest(): Rest {
    if (!this.#rest) this.#rest = JSON.parse(this.json)
    return this.#rest!
  }

  /** Without parsing: consumers skip most entries by their type. The JSON text begins with it. */
  get type() {
    if (!this.json.startsWith('["')) return this.rest[0]
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by `encodeEntry`
    return this.json.slice(2, this.json.indexOf('"', 2)) as Rest[0]
  }
  get entityId() {
    return this.rest[1]
  }
  get version() {
    return this.rest[2]
  }
  get actorId() {
    return this.rest[3]
  }
  get op() {
    return this.rest[4]
  }
  get at() {
    return this.rest[5]
  }
  get changes() {
    return this.rest[6]
  }
  get quiet() {
    return this.rest[7]
  }
  get override() {
    return this.rest[8] ?? false
  }
  /** Without parsing: of the JSON text servers read nothing else. */
  get trace() {
    return this.json.endsWith('"]') ? this.json.slice(-2 - traceparentLength, -2) : null
  }
  /** For JSON.stringify, which skips accessors. */
  toJSON() {
    return plainEntry(this)
  }
  /** Approximate size in memory. */
  get bytes() {
    return (this.frame?.length ?? 0) + this.json.length + perEntryBytes
  }
}

const perEntryBytes = 200
const traceparentLength = 55

/** Approximate size of an entry in memory and on the wire, in bytes. */
export const bytesOf = (entry: LogEntry): number =>
  entry instanceof StreamedEntry
    ? entry.bytes
    : (entry.frame?.length ?? 0) + perEntryBytes + (entry.changes ? JSON.stringify(entry.changes).length : 0)

/** The same entry as a plain object. */
export const plainEntry = (entry: LogEntry): LogEntry => ({
  shard: entry.shard,
  seq: entry.seq,
  at: entry.at,
  scope: entry.scope,
  type: entry.type,
  entityId: entry.entityId,
  version: entry.version,
  actorId: entry.actorId,
  op: entry.op,
  control: entry.control,
  changes: entry.changes,
  quiet: entry.quiet,
  override: entry.override,
  frame: entry.frame,
})
