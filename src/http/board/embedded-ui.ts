// The page of the board inside the single executable. Invariant: it is what the package had when the executable was
// built: the bundler calls the macro and puts its result in the place of the call. Imported in the executable only.
import { readUi } from './ui-texts.ts' with { type: 'macro' }

export const embeddedUi = await readUi()
