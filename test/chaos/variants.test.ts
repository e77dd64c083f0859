// Variants are edits of source text: each edit must match exactly once, or a control would test the unchanged product.
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
