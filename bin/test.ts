// What `npm test` runs once Bun and the packages are there.
import { runTests } from '../dev/test-run.ts'

process.exit(await runTests(process.argv.slice(2), process.env))
