// Preloaded into a process whose clock is to be wrong by TIDE_CLOCK_OFFSET_MS.
const offset = Number(process.env['TIDE_CLOCK_OFFSET_MS'] ?? 0)
const RealDate = Date
const now = RealDate.now.bind(RealDate)

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now() + offset] : args, newTarget),
  get: (target, key, receiver) => (key === 'now' ? () => now() + offset : Reflect.get(target, key, receiver)),
})
