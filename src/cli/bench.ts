// `bench`: runs the benchmark, which is a program of the source: neither the image nor the single executable has it.
import { fileURLToPath } from 'node:url'
import { isExecutable } from '../start/executable.ts'
import { exitCodes } from '../start/failure.ts'

const program = new URL('../../bench/main.ts', import.meta.url)

/** @param args of the benchmark. @returns its exit code, or 2 where it is not here. */
export const benchCommand = async (
  environment: Record<string, string | undefined>,
  args: string[],
): Promise<number> => {
  if (isExecutable || !(await Bun.file(program).exists())) {
    console.error(
      'The benchmark is a part of the source: run `bun run bench` in a clone of it, with --against to measure an installation that runs already.',
    )
    return exitCodes.usage
  }
  const child = Bun.spawn([process.execPath, fileURLToPath(program), ...args], {
    env: environment,
    stdio: ['inherit', 'inherit', 'inherit'],
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return child.exited
}
