// docs/security.md: every row of the checklist is there and names a test that exists.
import { expect, test } from 'bun:test'
import { join } from 'node:path'

const root = join(import.meta.dir, '..')

/** Rows of the checklist, by letter, and how many there are. */
const counts = { S: 7, A: 11, R: 4, D: 5, H: 8, E: 1, Q: 2, F: 2, L: 1, M: 4, P: 2 }
const ids = Object.entries(counts).flatMap(([letter, count]) =>
  Array.from({ length: count }, (_, n) => `${letter}${n + 1}`),
)

interface Row {
  id: string
  tests: string
}

const rows: Row[] = (await Bun.file(join(root, 'docs', 'security.md')).text()).split('\n').flatMap((line) => {
  const cells = line.split(' | ')
  const id = /^\| ([A-Z]\d+)$/.exec(cells[0] ?? '')?.[1]
  return id === undefined ? [] : [{ id, tests: cells.slice(3).join(' | ').replace(/ \|$/, '') }]
})

test('the table has every row of the checklist once', () => {
  expect(rows.map(({ id }) => id).toSorted()).toEqual(ids.toSorted())
})

test('every row names tests that exist', async () => {
  const wrong: string[] = []
  for (const { id, tests } of rows) {
    const named = tests.split('<br>').map((text) => /^`(test\/[^`]+\.test\.ts)`: (.+)$/.exec(text))
    for (const match of named) {
      const [, path = '', title = ''] = match ?? []
      const text = match
        ? await Bun.file(join(root, path))
            .text()
            .catch(() => '')
        : ''
      // In the title of a test: an argument of `test`, or of the function that `each` returns.
      const isTitle = text.split('\n').some((line) => /['"`]/.test(line) && line.includes(title))
      if (title === '' || !isTitle) wrong.push(`${id}: ${match ? match[0] : tests}`)
    }
  }
  expect(wrong).toEqual([])
})

test('the locked Elysia is one without the known holes', async () => {
  const { version } = await Bun.file(join(root, 'node_modules', 'elysia', 'package.json')).json()
  expect(Bun.semver.satisfies(version, '>=1.4.27')).toBe(true)
})
