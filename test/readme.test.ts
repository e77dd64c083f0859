// The commands and programs of the README work when pasted: the first session in a shell, the socket in a browser.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser } from 'playwright-core'
import { seedDemo } from '../src/domain/seed.ts'
import { browserTimeoutMs, startBrowser } from './support/browser.ts'
import { startWorld, type World } from './support/world.ts'

const readme = await Bun.file(new URL('../README.md', import.meta.url)).text()

/** The code blocks under a heading. */
const blocks = (heading: string): string[] => {
  const section = readme.split(/^## /m).find((text) => text.startsWith(heading))!
  return [...section.matchAll(/```\w+\n(.*?)```/gs)].map((match) => match[1]!)
}

let world: World
let browser: Browser

beforeAll(async () => {
  world = await startWorld()
  await seedDemo(world.server.deps)
  browser = await startBrowser()
}, browserTimeoutMs)

afterAll(async () => {
  await browser?.close()
  await world?.[Symbol.asyncDispose]()
}, 20_000)

const shell = async (script: string): Promise<string> => {
  const child = Bun.spawn(['sh', '-eu', '-c', script.replaceAll('http://127.0.0.1:3000', world.url)], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const [output, faults] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  expect({ code: await child.exited, faults }).toEqual({ code: 0, faults: '' })
  return output
}

test('the first session signs in, creates one task however often it is pasted, and lists it', async () => {
  const [session] = blocks('A first session')
  const [task, list] = (await shell(session!)).split(/(?<=\})(?=\{)/).map((text) => JSON.parse(text))
  expect(task).toMatchObject({ title: 'Write the launch plan', tags: ['docs'], version: 1 })
  const listed = (answer: { items: { id: string }[] }): number =>
    answer.items.filter(({ id }) => id === task.id).length
  expect(listed(list)).toBe(1)
  const [again, listAgain] = (await shell(session!)).split(/(?<=\})(?=\{)/).map((text) => JSON.parse(text))
  expect(again).toEqual(task)
  expect(listed(listAgain)).toBe(1)
})

test('the socket example shows the next change of the Inbox in the console', async () => {
  const page = await browser.newPage()
  await page.goto(`${world.url}/api/docs`)
  const lines: string[] = []
  const { promise: received, resolve } = Promise.withResolvers<void>()
  const { promise: synced, resolve: isSynced } = Promise.withResolvers<void>()
  page.on('console', (message) => {
    lines.push(message.text())
    if (message.text().includes('"t":"synced"')) isSynced()
    if (message.text().includes('"type":"task.created"')) resolve()
  })
  const [example] = blocks('Live in a browser')
  // The console awaits at its top level; a page's function has to be asked to.
  await page.evaluate(`(async () => { ${example} })()`)
  await synced
  await shell(blocks('A first session')[0]!.replace('my-first-task', 'another-task'))
  await received
  expect(lines.some((line) => / tasks so far; /.test(line))).toBe(true)
  await page.close()
}, 30_000)

test('the program follows the Inbox and writes to it', async () => {
  const [program] = blocks('Live in a program')
  const source = new URL('../packages/', import.meta.url).pathname
  await using stack = new AsyncDisposableStack()
  const folder = await mkdtemp(join(tmpdir(), 'tide-readme-'))
  stack.defer(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'follow.ts')
  await Bun.write(file, program!.replace('http://127.0.0.1:3000', world.url).replace('./packages/', source))
  const child = Bun.spawn([process.execPath, file], { stdout: 'pipe', stderr: 'inherit' })
  stack.defer(async () => {
    child.kill()
    await child.exited
  })
  const lines = child.stdout.pipeThrough(new TextDecoderStream())
  let output = ''
  for await (const text of lines) {
    output += text
    if (/live \[[^\]]*"From ten lines: todo"/s.test(output)) break
  }
  expect(output).toMatch(/^(connecting|catching-up) /)
}, 20_000)
