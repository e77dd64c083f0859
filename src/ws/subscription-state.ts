// The states of a subscription as a total table: what each event does in each state. Invariants: a subscription becomes
// live only from catching-up, and `over` is final, so that an await which outlives the subscription revives nothing.
//
//        waiting ◀──▶ catching-up ──▶ live ──▶ over
//           ▲              ▲           │        ▲
//           │              └─ backlog ─┤        └── revoked, resync, unsub, replaced, closed (from every state)
//           └──── connection parked ───┘

/** `waiting`: for the connection to drain or for its turn to catch up. */
export type SubscriptionState = 'waiting' | 'catching-up' | 'live' | 'over'

/** `pause`: the connection is parked, or memory lacks the next entry. */
export type SubscriptionEvent = 'start' | 'reach-tail' | 'pause' | 'end'

export const transitions: Record<SubscriptionState, Record<SubscriptionEvent, SubscriptionState>> = {
  waiting: { start: 'catching-up', 'reach-tail': 'waiting', pause: 'waiting', end: 'over' },
  'catching-up': { start: 'catching-up', 'reach-tail': 'live', pause: 'waiting', end: 'over' },
  live: { start: 'catching-up', 'reach-tail': 'live', pause: 'waiting', end: 'over' },
  over: { start: 'over', 'reach-tail': 'over', pause: 'over', end: 'over' },
}
