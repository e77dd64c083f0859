// The states of a connection as a total table: what each event does in each state. Invariants: the state is `open` only
// after an attempt, and a transport that ends late does not change `stopped`.
//
//            attempt                opened
//   idle ───────────▶ connecting ───────────▶ open
//    ▲                  ▲    │ failed           │ failed (1xxx, 40xx; 44xx after renewing the credentials; 4429)
//    │                  │    ▼                  │
//    │          attempt └─ waiting ◀────────────┘
//    │ ended (no transport runs and none is needed, or `reconnect` ends a stop)
//    └─────────────────────────────────────────── from every state
//
//                                  stopped ◀── refused (45xx, 4409, 1009, signed out), from every state

/** The same as `ConnectionState`, which connection.ts declares for programs: neither compiles without the other. */
type State = 'idle' | 'connecting' | 'open' | 'waiting' | 'stopped'

/** `attempt`: a transport was created. `failed`: it ended, and the next one follows after a pause. */
export type ConnectionEvent = 'attempt' | 'opened' | 'failed' | 'refused' | 'ended'

export const transitions: Record<State, Record<ConnectionEvent, State>> = {
  idle: { attempt: 'connecting', opened: 'idle', failed: 'idle', refused: 'stopped', ended: 'idle' },
  connecting: { attempt: 'connecting', opened: 'open', failed: 'waiting', refused: 'stopped', ended: 'idle' },
  open: { attempt: 'connecting', opened: 'open', failed: 'waiting', refused: 'stopped', ended: 'idle' },
  waiting: { attempt: 'connecting', opened: 'waiting', failed: 'waiting', refused: 'stopped', ended: 'idle' },
  stopped: { attempt: 'stopped', opened: 'stopped', failed: 'stopped', refused: 'stopped', ended: 'idle' },
}
