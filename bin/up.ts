// What `npm run up` runs once Bun and the packages are there.
import { up } from '../dev/up.ts'

process.exit(await up(process.argv.slice(2), process.env))
