// Something made on its first use: once for all who ask, and again after a failure.
import { expect, test } from 'bun:test'
import { OnFirstUse } from '../../src/async/on-first-use.ts'

test('it is made by the first use alone, and for all uses', async () => {
  let made = 0
  const part = new OnFirstUse(async () => ({ number: (made += 1) }))
  expect(part.made).toBe(null)
  const [one, other] = await Promise.all([part.get(), part.get()])
  expect(one).toEqual({ number: 1 })
  expect(other).toBe(one)
  expect(await part.made).toBe(one)
})

test('a failure is an error of the uses that met it, and the next one makes it again', async () => {
  const outcomes = [new Error('no such module'), 'module']
  const part = new OnFirstUse(async () => {
    const outcome = outcomes.shift()
    if (outcome instanceof Error) throw outcome
    return outcome
  })
  const uses = await Promise.allSettled([part.get(), part.get()])
  expect(uses.map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(part.made).toBe(null)
  expect(await part.get()).toBe('module')
})
