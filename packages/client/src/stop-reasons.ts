// Which failures of requests stop live data for good, and as what; every other failure is retried.
import {
  ApiError,
  InvalidArgumentError,
  OriginRefusedError,
  SignedOutError,
  type StopReason,
} from './errors.ts'
import { isNotFound, isRetryable } from './http/http-client.ts'

/** Why a failure of the credentials stops everything; null where another attempt may succeed. */
export const stopReasonOfCredentials = (failure: unknown): StopReason | null => {
  if (failure instanceof SignedOutError) return 'signed_out'
  return failure instanceof OriginRefusedError ? 'origin_refused' : null
}

/** Why a failed snapshot stops its view; null where another attempt may succeed. */
export const stopReasonOfSnapshot = (failure: unknown): StopReason | null => {
  const reason = stopReasonOfCredentials(failure)
  if (reason) return reason
  if (isNotFound(failure)) return 'not_found'
  if (failure instanceof InvalidArgumentError) return 'refused'
  const isRefusal = failure instanceof ApiError && !isRetryable(failure) && failure.status < 500
  return isRefusal ? 'refused' : null
}
