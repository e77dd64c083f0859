// Reports a start that failed: a role that logs JSON writes one log line, a command one sentence.
import { ConfigError } from '../config.ts'
import { AppError, messageOf } from '../errors.ts'
import { createLog } from '../log.ts'
import { exitCodes, StartFailure } from './failure.ts'

/** What ended a start. The message of a failure that is not foreseen is that of its error, without a stack. */
export const startFailureOf = (error: unknown): StartFailure => {
  if (error instanceof StartFailure) return error
  if (error instanceof ConfigError) return new StartFailure(error.message, exitCodes.configuration)
  const cause = error instanceof AppError && error.cause !== undefined ? error.cause : error
  const isPassing = error instanceof AppError && error.kind === 'unavailable'
  return new StartFailure(
    isPassing ? `PostgreSQL or Redis went away: ${messageOf(cause)}` : messageOf(error),
    isPassing ? exitCodes.unavailable : exitCodes.failed,
  )
}

/** @returns the exit code. @param isJson whether the role logs JSON. */
export const reportStartFailure = (
  error: unknown,
  { role, isJson }: { role: string; isJson: boolean },
): number => {
  const failure = startFailureOf(error)
  const { exitCode, message } = failure
  if (!isJson) console.error(message)
  else
    createLog(role, 'fatal').fatal(
      {
        exitCode,
        ...(error instanceof ConfigError && { problems: error.problems }),
        ...(failure !== error && exitCode === exitCodes.failed && { err: error }),
      },
      message,
    )
  return exitCode
}
