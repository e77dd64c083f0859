// The transition table of subscriptions, each rule for every state and event it concerns.
import { expect, test } from 'bun:test'
import {
  transitions,
  type SubscriptionEvent,
  type SubscriptionState,
} from '../../src/ws/subscription-state.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the table are the states
const states = Object.keys(transitions) as SubscriptionState[]
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a row are the events
const events = Object.keys(transitions.waiting) as SubscriptionEvent[]

test('the state over is final, and the event end leads to it from every state', () => {
  for (const event of events) expect(transitions.over[event]).toBe('over')
  for (const state of states) expect(transitions[state].end).toBe('over')
})

test('only catching up makes a subscription live', () => {
  for (const state of states.filter((one) => one !== 'live'))
    for (const event of events)
      expect(transitions[state][event] === 'live').toBe(state === 'catching-up' && event === 'reach-tail')
})

test('a pause makes every subscription that is not over wait, and a start catch up', () => {
  for (const state of states.filter((one) => one !== 'over')) {
    expect(transitions[state].pause).toBe('waiting')
    expect(transitions[state].start).toBe('catching-up')
  }
})
