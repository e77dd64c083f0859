// The migrations inside the single executable. Invariant: the list is what sql/ had when the executable was built: the
// bundler calls the macro and puts its result in the place of the call. Imported in the executable only.
import { readTexts } from './migration-texts.ts' with { type: 'macro' }

export const embeddedTexts = await readTexts()
