// The checker on hand-made histories: a correct one has no violation, and each broken one is named by its property.
import { expect, test } from 'bun:test'
import { createRandom, type Random } from '../oracle/random.ts'
import { anomalies } from './anomalies.ts'
import { checkHistory } from './check.ts'
import type { History } from './history.ts'
import { Model, shard } from './model.ts'
import { propertyNames } from './properties.ts'
import { explain } from './report.ts'

const people = ['ada', 'bob', 'eve']

/** A correct run: writes, conditional writes, deletions, reads of all kinds, a view that drops and resumes. */
const correct = (random: Random, steps: number): History => {
  const model = new Model()
  for (const isMember of [true, false, true]) model.member('ada', 'bob', isMember)
  model.write('ada', { a: 'create', b: 'create' })
  model.step('eve', 'v', 'join', 0)
  let received = 0
  let names = 0
  /** Versions that a writable field made. */
  const contents = new Map<string, number>()
  for (let step = 0; step < steps; step += 1) {
    const person = random.pick(people)
    const task = random.pick([...model.tasks.keys()])
    const { version } = model.tasks.get(task)!
    const choice = random.next()
    if (model.tasks.size > 30) model.write(person, { [task]: 'delete' })
    else if (choice < 0.15) model.write(person, { [`t${(names += 1)}`]: 'create', [task]: 'update' })
    else if (choice < 0.3) {
      model.write(person, { [task]: 'update' }, { ifMatch: version })
      contents.set(task, version + 1)
    } else if (choice < 0.35) model.write(person, { [task]: 'count' })
    else if (choice < 0.4 && version > 1 && contents.get(task) === version)
      model.refused(person, task, version - 1)
    else if (choice < 0.45 && model.tasks.size > 3) model.write(person, { [task]: 'delete' })
    else if (choice < 0.6) model.get(person, task)
    else if (choice < 0.7) model.list(person)
    else if (choice < 0.8) model.snapshot(person)
    else if (received < model.seq) model.frame('eve', 'v', (received += 1))
    else model.step('eve', 'v', 'join', received)
  }
  model.follow('eve', 'v', received)
  return model.history()
}

test('a correct history has no violation, and every property compared something', () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const report = checkHistory(correct(createRandom(seed), 300))
    expect(report.violations.flatMap(explain)).toEqual([])
    expect(report.rows.filter(({ checked }) => checked === 0)).toEqual([])
  }
})

for (const { name, property, history } of anomalies) {
  test(`${property}: ${name}`, () => {
    const model = new Model()
    history(model)
    const report = checkHistory(model.history())
    const caught = report.rows.filter(({ violations }) => violations > 0).map((row) => row.property)
    expect(caught).toContain(property)
    const found = report.violations.find((violation) => violation.property === property)!
    expect(found.evidence.length).toBeLessThanOrEqual(4)
  })
}

test('a task is not found while access is lost, is granted again, or the task is deleted', () => {
  const model = new Model()
  model.write('ada', { a: 'create', b: 'create' })
  model.member('ada', 'eve', true)
  model.get('eve', 'a')
  model.get('eve', 'b')
  model.member('ada', 'eve', false)
  const absent = { status: 404, seen: [] }
  Object.assign(model.get('eve', 'a'), absent)
  const granted = model.member('ada', 'eve', true)
  const whileGranted = Object.assign(model.get('eve', 'a'), absent)
  whileGranted.start = granted.start
  const deleted = model.write('bob', { b: 'delete' })
  const whileDeleted = Object.assign(model.get('eve', 'b'), absent)
  ;[whileDeleted.start, whileDeleted.end] = [deleted.start, deleted.end]
  expect(checkHistory(model.history()).violations.flatMap(explain)).toEqual([])
})

test('a transaction may have numbers in another project of its shard', () => {
  const model = new Model()
  model.write('ada', { a: 'create', x: 'create', b: 'create' })
  model.log[1]!.scope = 'project:q'
  const other = { ...model.tasks.get('x')!, project: 'q' }
  model.tasks.delete('x')
  model.list('bob')
  model.snapshot('bob')
  const history = model.history()
  history.final.tasks.push(other)
  expect(checkHistory(history).violations.flatMap(explain)).toEqual([])
})

test('a snapshot need not have the own write in another project of its shard', () => {
  const model = new Model()
  model.write('ada', { a: 'create' })
  const position = { shard, seq: model.seq }
  model.write('ada', { x: 'create' })
  model.log[1]!.scope = 'project:q'
  const other = { ...model.tasks.get('x')!, project: 'q' }
  model.tasks.delete('x')
  model.snapshot('ada').position = position
  const history = model.history()
  history.final.tasks.push(other)
  expect(checkHistory(history).violations.flatMap(explain)).toEqual([])
})

test('every property has broken histories', () => {
  for (const property of propertyNames)
    expect(anomalies.filter((one) => one.property === property).length).toBeGreaterThanOrEqual(2)
})

test('a history that did not fit into the recorder is a violation', () => {
  const history = { ...correct(createRandom(1), 20), dropped: 1 }
  expect(checkHistory(history).violations.length).toBe(1)
})

test('checking takes time in proportion to the history', () => {
  const timed = (steps: number): number => {
    const history = correct(createRandom(7), steps)
    const before = process.cpuUsage()
    checkHistory(history)
    const { user, system } = process.cpuUsage(before)
    return user + system
  }
  timed(500)
  const ratio = (): number => timed(8_000) / timed(1_000)
  // Linear is 8, quadratic 64.
  expect(Math.min(ratio(), ratio(), ratio())).toBeLessThan(24)
})
