// The live board inside the single executable. Invariant: it is what the source was when the executable was built: the
// bundler calls the macro and puts its result in the place of the call. Imported in the executable only.
import { readLiveBoard } from './read-files.ts' with { type: 'macro' }

export const embeddedLiveBoard = await readLiveBoard()
