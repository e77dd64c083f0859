// The documents against the tree: each file they name exists, and each function of the call chains in CONTRIBUTING.md
// is in the file beside it.
import { expect, test } from 'bun:test'
import { Glob } from 'bun'
import { existsSync } from 'node:fs'
import { join } from 'node:path'

const root = join(import.meta.dir, '..')
const textOf = (path: string): Promise<string> => Bun.file(join(root, path)).text()

const documents = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  'packages/client/README.md',
  ...new Glob('docs/*.md').scanSync({ cwd: root }),
]

/** Documents write paths from the root or, shorter, from src. */
const exists = (path: string): boolean => ['', 'src'].some((folder) => existsSync(join(root, folder, path)))

test('Every file in backticks exists', async () => {
  const missing: string[] = []
  for (const document of documents) {
    for (const [, path] of (await textOf(document)).matchAll(
      /`([\w./-]+\/[\w.-]+\.(?:ts|mjs|sql|md|yml))`/g,
    )) {
      if (!/NNNN/.test(path!) && !exists(path!)) missing.push(`${document}: ${path}`)
    }
  }
  expect(missing).toEqual([])
})

test('Every relative link leads to a file', async () => {
  const broken: string[] = []
  for (const document of documents) {
    for (const [, target] of (await textOf(document)).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)) {
      if (!existsSync(join(root, document, '..', target!))) broken.push(`${document}: ${target}`)
    }
  }
  expect(broken).toEqual([])
})

test('Every step of a call chain is in its file', async () => {
  const chains = [...(await textOf('CONTRIBUTING.md')).matchAll(/```chain\n(.*?)```/gs)]
  expect(chains.length).toBe(3)
  const wrong: string[] = []
  for (const [, chain] of chains) {
    for (const line of chain!.trimEnd().split('\n')) {
      const [, name, path] = /^\s*(\w+)\s+(\S+)/.exec(line)!
      const isThere = existsSync(join(root, path!)) && new RegExp(`\\b${name}\\b`).test(await textOf(path!))
      if (!isThere) wrong.push(line.trim())
    }
  }
  expect(wrong).toEqual([])
})
