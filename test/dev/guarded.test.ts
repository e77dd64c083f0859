// A guarded child never outlives the process that started it, and a claim distinguishes a live owner from a dead one.
import { expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { claim, ClaimedError } from '../../dev/claim.ts'
import { until } from '../../src/async/timeout.ts'
import { identify, isAlive } from '../../dev/process-identity.ts'

const source = (name: string) => JSON.stringify(join(import.meta.dir, '../../dev', name))
const folder = () => mkdtempSync(join(tmpdir(), 'tide-guard-test-'))

/** A process that starts a guarded child, claims `path` for it and prints the child's number. */
const startParent = async (path: string) => {
  const script = `
    import { startGuarded } from ${source('guarded.ts')}
    import { claim, note } from ${source('claim.ts')}
    await claim(${JSON.stringify(path)}, 'the test')
    const child = await startGuarded({
      command: ['/bin/sleep', '60'], logFile: '/dev/null', stopSignal: 'SIGTERM', env: {} })
    note(${JSON.stringify(path)}, { child: child.process })
    console.log(child.process.pid)
    setInterval(() => {}, 60_000)`
  const parent = Bun.spawn([process.execPath, '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 30_000,
  })
  const { value } = await parent.stdout.getReader().read()
  const child = identify(Number(new TextDecoder().decode(value)))
  return { parent, child: child! }
}

test('kill -9 of the parent ends the child', async () => {
  const { parent, child } = await startParent(join(folder(), 'owner.json'))
  expect(isAlive(child)).toBe(true)
  parent.kill('SIGKILL')
  await until(5_000, 'the end of the child', () => !isAlive(child) || undefined)
})

test('a claim is refused while its owner lives and taken over when it is dead', async () => {
  const path = join(folder(), 'owner.json')
  const { parent, child } = await startParent(path)
  expect(await claim(path, 'the test').catch((error: unknown) => error)).toBeInstanceOf(ClaimedError)
  parent.kill('SIGKILL')
  await parent.exited
  await claim(path, 'the test')
  expect(isAlive(child)).toBe(false)
  expect(JSON.parse(readFileSync(path, 'utf8')).owner.pid).toBe(process.pid)
})

test('a claim whose number was given to another process, or that was cut off, does not block', async () => {
  const path = join(folder(), 'owner.json')
  writeFileSync(path, JSON.stringify({ owner: { pid: process.ppid, born: 'long ago' } }))
  await claim(path, 'the test')
  writeFileSync(path, '{"owner":')
  await claim(path, 'the test')
  expect(JSON.parse(readFileSync(path, 'utf8')).owner.pid).toBe(process.pid)
})
