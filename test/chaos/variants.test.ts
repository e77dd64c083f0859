// Variants are edits of source text: each must still find the place it edits, or a control would catch nothing.
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { variants } from './variants.ts'

const source = join(import.meta.dir, '..', '..', 'src')

for (const [name, edits] of Object.entries(variants)) {
  test(`The variant ${name} fits the source`, async () => {
    const found = await Promise.all(
      edits.map(async ({ file, from }) => ({
        file,
        from,
        times: (await Bun.file(join(source, file)).text()).split(from).length - 1,
      })),
    )
    expect(found.filter(({ times }) => times !== 1)).toEqual([])
  })
}
