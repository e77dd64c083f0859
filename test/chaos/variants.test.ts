// Variants are edits of source text: each edit must match exactly once, or a control would test the unchanged product.
import { expect, test } from 'bun:test'
import { applyEdits } from './edit.ts'
import { pathOf, variants } from './variants.ts'

for (const [name, edits] of Object.entries(variants)) {
  test(`The variant ${name} fits the source`, async () => {
    for (const [file, own] of Map.groupBy(edits, (edit) => edit.file)) {
      const text = await Bun.file(pathOf({ file })).text()
      expect(() => applyEdits(text, own)).not.toThrow()
    }
  })
}
