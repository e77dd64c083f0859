// Broken histories, by hand: each is a correct run of the model with one step gone wrong, and the property that must name
// it. Property by property, as in `properties.ts`.
import { shard, type Model } from './model.ts'
import type { Property } from './properties.ts'

export interface Anomaly {
  name: string
  property: Property
  /** Fills the model with the broken run. */
  history: (model: Model) => void
}

const base = (model: Model): void => {
  model.write('ada', { a: 'create', b: 'create' })
  model.write('bob', { a: 'update' })
}

export const anomalies: Anomaly[] = [
  {
    name: 'a read of a task misses the own write',
    property: 'read your writes',
    history(model) {
      base(model)
      const before = model.tasks.get('a')!
      model.write('ada', { a: 'update' })
      model.get('ada', 'a').seen = [before]
    },
  },
  {
    name: 'a list is kept although a head has moved: the own new task is missing',
    property: 'read your writes',
    history(model) {
      base(model)
      const before = [...model.tasks.values()]
      model.write('ada', { c: 'create' })
      model.list('ada').seen = before
    },
  },
  {
    name: 'a snapshot is shared beyond the own write',
    property: 'read your writes',
    history(model) {
      base(model)
      const before = [...model.tasks.values()]
      const position = { shard, seq: model.seq }
      model.write('ada', { a: 'update' })
      Object.assign(model.snapshot('ada'), { seen: before, position })
    },
  },
  {
    name: 'a deleted task is still there',
    property: 'read your writes',
    history(model) {
      base(model)
      const before = model.tasks.get('b')!
      model.write('ada', { b: 'delete' })
      Object.assign(model.get('ada', 'b'), { status: 200, seen: [before] })
    },
  },
  {
    name: 'an answered creation is not found',
    property: 'read your writes',
    history(model) {
      base(model)
      model.write('ada', { c: 'create' })
      Object.assign(model.get('ada', 'c'), { status: 404, seen: [] })
    },
  },
  {
    name: 'an own task is not found before its deletion is sent',
    property: 'read your writes',
    history(model) {
      base(model)
      Object.assign(model.get('ada', 'b'), { status: 404, seen: [] })
      model.write('bob', { b: 'delete' })
    },
  },
  {
    name: 'a task is not found before its deletion is sent',
    property: 'monotonic reads',
    history(model) {
      base(model)
      model.get('eve', 'b')
      Object.assign(model.get('eve', 'b'), { status: 404, seen: [] })
      model.write('ada', { b: 'delete' })
    },
  },
  {
    name: 'a task is not found before access to it ends',
    property: 'monotonic reads',
    history(model) {
      base(model)
      model.member('ada', 'eve', true)
      model.get('eve', 'b')
      Object.assign(model.get('eve', 'b'), { status: 404, seen: [] })
      model.member('ada', 'eve', false)
    },
  },
  {
    name: 'a task is not found after access to it was granted again',
    property: 'monotonic reads',
    history(model) {
      base(model)
      model.member('ada', 'eve', true)
      model.get('eve', 'b')
      model.member('ada', 'eve', false)
      model.member('ada', 'eve', true)
      Object.assign(model.get('eve', 'b'), { status: 404, seen: [] })
    },
  },
  {
    name: 'the second read of a task is older than the first',
    property: 'monotonic reads',
    history(model) {
      base(model)
      const before = model.tasks.get('a')!
      model.write('bob', { a: 'update' })
      model.get('ada', 'a')
      model.get('ada', 'a').seen = [before]
    },
  },
  {
    name: 'a read over REST is behind the frame that the session has received',
    property: 'monotonic reads',
    history(model) {
      base(model)
      const before = model.tasks.get('a')!
      model.step('ada', 'v', 'snapshot', model.seq)
      model.write('bob', { a: 'update' })
      model.follow('ada', 'v', model.seq - 1)
      model.get('ada', 'a').seen = [before]
    },
  },
  {
    name: 'a frame comes again after a resume',
    property: 'monotonic reads',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.follow('ada', 'v', 0)
      model.step('ada', 'v', 'join', model.seq)
      model.frame('ada', 'v', model.seq)
    },
  },
  {
    name: 'frames of a batch come in reverse order',
    property: 'monotonic reads',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.frame('ada', 'v', 2)
      model.frame('ada', 'v', 1)
      model.frame('ada', 'v', 3)
    },
  },
  {
    name: 'a snapshot is more than 2 s older than what the session had seen',
    property: 'monotonic reads',
    history(model) {
      base(model)
      const before = [...model.tasks.values()]
      const position = { shard, seq: model.seq }
      model.write('bob', { a: 'update' })
      model.get('ada', 'a')
      model.now += 3_000
      Object.assign(model.snapshot('ada'), { seen: before, position })
    },
  },
  {
    name: 'the second write of a session has the lower number',
    property: 'monotonic writes',
    history(model) {
      base(model)
      model.write('ada', { a: 'update' })
      model.write('ada', { b: 'update' })
      const [one, two] = model.log.slice(-2)
      ;[one!.position, two!.position] = [two!.position, one!.position]
      model.log.splice(-2, 2, two!, one!)
      for (const event of model.events.slice(-2))
        if (event.kind === 'call') event.position = { shard, seq: event.key === one!.key ? 5 : 4 }
    },
  },
  {
    name: 'two writes have one number, without the lock of the shard',
    property: 'monotonic writes',
    history(model) {
      base(model)
      model.write('ada', { a: 'update' })
      model.write('bob', { b: 'update' })
      model.log.at(-1)!.position = model.log.at(-2)!.position
    },
  },
  {
    name: 'versions of a task descend in the log',
    property: 'monotonic writes',
    history(model) {
      base(model)
      model.write('ada', { a: 'update' })
      const [one, two] = [model.log.at(-2)!, model.log.at(-1)!]
      ;[one.version, two.version] = [two.version, one.version]
    },
  },
  {
    name: 'a view receives a write without the one before it of the same session',
    property: 'monotonic writes',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.write('bob', { b: 'update' })
      for (const seq of [1, 2, 4]) model.frame('ada', 'v', seq)
    },
  },
  {
    name: 'a write has a lower number than what its session had read',
    property: 'writes follow reads',
    history(model) {
      base(model)
      model.write('bob', { a: 'update' })
      model.get('ada', 'a')
      model.write('ada', { b: 'update' })
      const [one, two] = model.log.slice(-2)
      ;[one!.position, two!.position] = [two!.position, one!.position]
      model.log.splice(-2, 2, two!, one!)
    },
  },
  {
    name: 'a view receives an effect without its cause',
    property: 'writes follow reads',
    history(model) {
      model.step('eve', 'v', 'join', 0)
      base(model)
      model.write('bob', { a: 'update' })
      model.get('ada', 'a')
      model.write('ada', { b: 'update' })
      for (const seq of [1, 2, 3, 5]) model.frame('eve', 'v', seq)
    },
  },
  {
    name: 'a list shows half of a batch',
    property: 'atomic visibility',
    history(model) {
      base(model)
      const before = model.tasks.get('b')!
      model.write('ada', { a: 'update', b: 'update' })
      model.list('bob').seen = [model.tasks.get('a')!, before]
    },
  },
  {
    name: 'a list shows a task of a later transaction with one of an earlier',
    property: 'atomic visibility',
    history(model) {
      base(model)
      const before = model.tasks.get('b')!
      model.write('bob', { b: 'update' })
      model.write('bob', { a: 'update' })
      model.list('eve').seen = [model.tasks.get('a')!, before]
    },
  },
  {
    name: 'the cursor of a snapshot was read before its tasks',
    property: 'atomic visibility',
    history(model) {
      base(model)
      const position = { shard, seq: model.seq }
      model.write('bob', { a: 'update' })
      model.snapshot('ada').position = position
    },
  },
  {
    name: 'the cursor of a snapshot was read after its tasks',
    property: 'atomic visibility',
    history(model) {
      base(model)
      const before = [...model.tasks.values()]
      model.write('bob', { a: 'update' })
      model.snapshot('eve').seen = before
    },
  },
  {
    name: 'the cursor of a snapshot lies inside a transaction',
    property: 'atomic visibility',
    history(model) {
      base(model)
      model.write('bob', { a: 'update', b: 'update' })
      const call = model.snapshot('eve')
      call.position = { shard, seq: model.seq - 1 }
    },
  },
  {
    name: 'the last entry of a transaction is not pushed',
    property: 'atomic visibility',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.frame('ada', 'v', 1)
      model.frame('ada', 'v', 3)
    },
  },
  {
    name: 'another write lies between the entries of a transaction',
    property: 'atomic visibility',
    history(model) {
      base(model)
      model.write('ada', { a: 'update' }, { key: 'one' })
      model.write('bob', { b: 'update' })
      model.write('ada', { a: 'update' }, { key: 'one' })
    },
  },
  {
    name: 'an answer shows a version that was never committed',
    property: 'no thin air',
    history(model) {
      base(model)
      model.write('ada', { a: 'update' })
      model.log.pop()
      const held = model.tasks.get('a')!
      model.tasks.set('a', { ...held, version: 2, content: 'a as 2' })
    },
  },
  {
    name: 'two contents have one version',
    property: 'no thin air',
    history(model) {
      base(model)
      const held = model.tasks.get('a')!
      model.get('eve', 'a').seen = [{ ...held, content: 'a as another user wrote it' }]
    },
  },
  {
    name: 'a refused write has an effect',
    property: 'no thin air',
    history(model) {
      base(model)
      Object.assign(model.write('ada', { a: 'update' }), { status: 422, seen: [], position: null })
    },
  },
  {
    name: 'a failed member of a batch is answered 200',
    property: 'no thin air',
    history(model) {
      base(model)
      const call = model.refused('ada', 'a', 1)
      Object.assign(call, {
        status: 200,
        currentVersion: null,
        seen: [{ task: 'a', version: 3, content: 'a as 3' }],
      })
    },
  },
  {
    name: 'a key has two effects',
    property: 'no thin air',
    history(model) {
      base(model)
      const call = model.write('ada', { c: 'create' }, { key: 'once' })
      model.write('ada', { d: 'create' }, { key: 'once' })
      const again = model.events.pop()
      if (again?.kind === 'call') model.events.push({ ...again, seen: call.seen, target: call.target })
    },
  },
  {
    name: 'a frame is seen before its write was sent',
    property: 'no thin air',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.follow('ada', 'v', 0)
      const last = model.events.find((event) => event.kind === 'frame' && event.position.seq === 3)
      if (last?.kind === 'frame') last.at = 0
    },
  },
  {
    name: 'a frame of a scope arrives without a subscription',
    property: 'no thin air',
    history(model) {
      base(model)
      model.frame('eve', 'v', 1)
    },
  },
  {
    name: 'a frame has the number of another entry',
    property: 'no thin air',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.follow('ada', 'v', 0)
      const frame = model.events.find((event) => event.kind === 'frame')
      if (frame?.kind === 'frame') frame.entity = 'b'
    },
  },
  {
    name: 'the entry of a key that no request used is in the log',
    property: 'no thin air',
    history(model) {
      base(model)
      model.write('ada', { a: 'update' })
      model.events.pop()
    },
  },
  {
    name: 'If-Match is ignored: a write on an old version succeeds',
    property: 'linearisable conditional writes',
    history(model) {
      base(model)
      model.write('ada', { a: 'update' }, { ifMatch: 1 })
    },
  },
  {
    name: 'a counter fails a condition',
    property: 'linearisable conditional writes',
    history(model) {
      base(model)
      model.write('bob', { a: 'count' })
      model.refused('ada', 'a', 2)
    },
  },
  {
    name: 'two writes on one version both succeed',
    property: 'linearisable conditional writes',
    history(model) {
      base(model)
      const start = model.tick()
      model.write('ada', { a: 'update' }, { ifMatch: 2, start })
      model.write('bob', { a: 'update' }, { ifMatch: 2, start })
    },
  },
  {
    name: 'another session reads a version after a newer one was answered',
    property: 'linearisable conditional writes',
    history(model) {
      base(model)
      const before = model.tasks.get('a')!
      model.write('bob', { a: 'update' })
      model.get('eve', 'a').seen = [before]
    },
  },
  {
    name: 'a later write has the lower version',
    property: 'linearisable conditional writes',
    history(model) {
      base(model)
      const one = model.write('ada', { a: 'update' })
      const two = model.write('bob', { a: 'update' })
      ;[one.start, one.end, two.start, two.end] = [two.start, two.end, one.start, one.end]
    },
  },
  {
    name: 'a 412 names a version that was gone',
    property: 'linearisable conditional writes',
    history(model) {
      base(model)
      model.refused('ada', 'a', 1).currentVersion = 1
    },
  },
  {
    name: 'an answered write is missing in PostgreSQL',
    property: 'convergence',
    history(model) {
      base(model)
      const before = model.tasks.get('a')!
      model.write('ada', { a: 'update' })
      model.tasks.set('a', before)
    },
  },
  {
    name: 'a row without an entry',
    property: 'convergence',
    history(model) {
      base(model)
      model.tasks.set('x', { task: 'x', version: 1, content: 'x as 1' })
    },
  },
  {
    name: 'a view ends behind the log',
    property: 'convergence',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.frame('ada', 'v', 1)
      model.frame('ada', 'v', 2)
    },
  },
  {
    name: 'a view received a position although it lacks an entry',
    property: 'convergence',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.step('ada', 'v', 'reached', model.seq)
    },
  },
  {
    name: 'a view ends with another state than PostgreSQL',
    property: 'convergence',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      model.follow('ada', 'v', 0)
      const [view] = model.views
      view!.tasks = view!.tasks.map((seen) => (seen.task === 'a' ? { ...seen, version: 1 } : seen))
    },
  },
  {
    name: 'a view keeps a deleted task',
    property: 'convergence',
    history(model) {
      model.step('ada', 'v', 'join', 0)
      base(model)
      const tasks = [...model.tasks.values()]
      model.write('ada', { b: 'delete' })
      model.follow('ada', 'v', 0)
      model.views[0]!.tasks = tasks
    },
  },
  {
    name: 'an entry after a revocation reaches the user',
    property: 'revocation order',
    history(model) {
      model.step('eve', 'v', 'join', 0)
      base(model)
      model.member('ada', 'eve', true)
      model.member('ada', 'eve', false)
      model.write('ada', { a: 'update' })
      for (let seq = 1; seq <= model.seq; seq += 1) model.frame('eve', 'v', seq)
    },
  },
  {
    name: 'a replay after access was granted again has entries from between',
    property: 'revocation order',
    history(model) {
      base(model)
      model.member('ada', 'eve', true)
      model.step('eve', 'v', 'join', model.seq)
      model.member('ada', 'eve', false)
      model.write('ada', { a: 'update' })
      model.member('ada', 'eve', true)
      model.frame('eve', 'v', model.seq - 1)
      model.frame('eve', 'v', model.seq)
    },
  },
  {
    name: 'a list is answered after a revocation was answered',
    property: 'revocation order',
    history(model) {
      base(model)
      model.member('ada', 'eve', true)
      model.member('ada', 'eve', false)
      model.list('eve')
    },
  },
]
