// The transition table of a client's connection, each rule for every state and event it concerns.
import { expect, test } from 'bun:test'
import { transitions, type ConnectionEvent } from '../../packages/client/src/connection/connection-state.ts'
import type { ConnectionState } from '../../packages/client/src/connection/connection.ts'

// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of the table are the states
const states = Object.keys(transitions) as ConnectionState[]
// oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the keys of a row are the events
const events = Object.keys(transitions.idle) as ConnectionEvent[]

test('a refusal stops the connection in every state, and only the end of the run leaves that', () => {
  for (const state of states) expect(transitions[state].refused).toBe('stopped')
  for (const event of events) expect(transitions.stopped[event]).toBe(event === 'ended' ? 'idle' : 'stopped')
})

test('the end of a run leads to idle in every state', () => {
  for (const state of states) expect(transitions[state].ended).toBe('idle')
})

test('only an attempt that is answered opens the connection', () => {
  for (const state of states.filter((one) => one !== 'open'))
    for (const event of events)
      expect(transitions[state][event] === 'open').toBe(state === 'connecting' && event === 'opened')
})

test('an attempt connects in every state but stopped, and only its failure waits', () => {
  for (const state of states.filter((one) => one !== 'stopped'))
    expect(transitions[state].attempt).toBe('connecting')
  for (const state of states.filter((one) => one !== 'waiting'))
    for (const event of events)
      expect(transitions[state][event] === 'waiting').toBe(
        (state === 'connecting' || state === 'open') && event === 'failed',
      )
})
