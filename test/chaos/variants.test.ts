// Variants are edits of source text: each edit must match exactly once, or a control would test the unchanged product.
import { expect, test } from 'bun:test'
import { pathOf, variants } from './variants.ts'

for (const [name, edits] of Object.entries(variants)) {
  test(`The variant ${name} fits the source`, async () => {
    const found = await Promise.all(
      edits.map(async ({ file, from }) => ({
        file,
        from,
        times: (await Bun.file(pathOf({ file })).text()).split(from).length - 1,
      })),
    )
    expect(found.filter(({ times }) => times !== 1)).toEqual([])
  })
}
