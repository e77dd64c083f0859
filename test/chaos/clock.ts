// Preloaded into a process whose clock is to be wrong by TIDE_CLOCK_OFFSET_MS. Writes what its clock says to the file
// TIDE_CLOCK_FILE, milliseconds.
import { writeFileSync } from 'node:fs'

const offset = Number(process.env['TIDE_CLOCK_OFFSET_MS'] ?? 0)
const RealDate = Date
const now = RealDate.now.bind(RealDate)

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [now() + offset] : args, newTarget),
  get: (target, key, receiver) => (key === 'now' ? () => now() + offset : Reflect.get(target, key, receiver)),
})

const file = process.env['TIDE_CLOCK_FILE']
if (file !== undefined) writeFileSync(file, String(Date.now()))
