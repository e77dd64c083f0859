// The properties by name, and what each means for this product. The order of everything is that of the log: a write has
// the number of its entries (`Tide-Cursor`), an answer shows tasks in versions whose entries have numbers, so that each
// observation is an interval of numbers and each property a comparison of intervals.
//
// A session is a user: their calls on all servers and their live views, ordered by the clock of the recorder. A call
// precedes another event if its answer arrived before that began; calls at the same time are unordered.
//
// Three kinds of reads differ in what they promise:
// - strong: `GET /api/tasks/:id`, lists (kept answers are valid by the heads of their scopes) and the answers of writes.
//   They show every write of anyone that was answered before they were sent.
// - snapshots: exact at their cursor and never older than the session's own last answered write. Equal requests share a
//   read for up to 2 s, so they may miss writes of others for that long.
// - live views: ordered and complete in each scope, at any distance behind. A view that has reached a number has
//   everything up to it.

export const properties = {
  'read your writes': `A strong read or a snapshot that a session sends after its write was answered shows that write or a later state. What a
     deletion removed stays away.`,
  'monotonic reads': `Strong reads of a session show no older version of a task than it had seen before they were sent, in answers or in
     frames of a live view (REST is never behind a socket; a socket may be behind REST). Frames of a view ascend in each scope, each number
     once, also across reconnects. A snapshot is at most 2 s older than what the session had seen.`,
  'monotonic writes': `Writes of a session that follow each other have ascending numbers in their shard. Versions of a task ascend with the
     numbers, one at a time, and no number is given twice. A view that receives a write has received all earlier ones of the same session in that scope.`,
  'writes follow reads': `A write has a higher number than everything of its shard that its session had seen, and gives its task a higher
     version than the session had seen. A view that receives a write has received what its session had seen of the scope before.`,
  'atomic visibility': `The entries of one transaction (a batch, a move, a deletion with subtasks) are visible together: a list or snapshot of a
     project is the state at one number between transactions, a snapshot that at its cursor. In each scope the entries of a transaction
     are consecutive, and a view that passes one of them passes all.`,
  'no thin air': `Each version of a task that anyone sees is in the log with that content, each frame is the entry of its number, each entry
     belongs to a write that was sent before anyone saw it. A refused write leaves nothing; one Idempotency-Key has one effect, and its answer shows it.`,
  'linearisable conditional writes': `Each task is a register: its writes and strong reads, by all sessions, have an order that agrees with their versions
     and with the clock. A write with \`If-Match\` succeeds only if no writable field changed after the version it names, and is refused only if one did.`,
  convergence: `At the end every row of a task is its last entry in the log, and every live view equals the rows and has received
     every entry of its scope.`,
  'revocation order': `No entry of a project with a number in which the user had no access reaches the user's views, also not by replay after access was
     granted again, and no read that was sent after a revocation was answered shows the project.`,
} as const

export type Property = keyof typeof properties

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a constant
export const propertyNames = Object.keys(properties) as Property[]
