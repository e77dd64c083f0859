// `seed`: the demo data, written by a server on a free port that serves nothing else. Answers the exit code.
import { openServer } from '../app/compose.ts'
import { readConfig } from '../config.ts'
import { seedDemo } from '../domain/seed.ts'
import { createLog } from '../log.ts'

type Environment = Record<string, string | undefined>

/** `seed`: demo users and a demo project, once. */
export const seedCommand = async (environment: Environment): Promise<number> => {
  const config = readConfig(environment)
  const log = createLog('seed', config.logLevel)
  await using server = await openServer({ ...config, port: 0 }, log)
  console.log(
    (await seedDemo(server.deps))
      ? 'Seeded the demo users and their project.'
      : 'The demo data is there already.',
  )
  return 0
}
