// Every rate limit that is counted over all processes: one table of names, limits and windows, from the settings.
import type { Config } from '../config.ts'

export interface RatePolicy {
  name: string
  limit: number
  windowSeconds: number
}

export interface RateState {
  allowed: boolean
  limit: number
  remaining: number
  /** Seconds until the window is over. */
  resetSeconds: number
}

export const policiesOf = (config: Config) =>
  ({
    requests: { name: 'requests', limit: config.requestsPerMinute, windowSeconds: 60 },
    writtenBytes: {
      name: 'written-bytes',
      limit: config.writtenMebibytesPerDay * 1024 * 1024,
      windowSeconds: 86_400,
    },
    uploads: { name: 'uploads', limit: config.uploadsPerHour, windowSeconds: 3_600 },
    registrations: { name: 'registrations', limit: config.registrationsPerHour, windowSeconds: 3_600 },
    passwordResets: { name: 'password-resets', limit: config.passwordResetsPerHour, windowSeconds: 3_600 },
    verifications: { name: 'verifications', limit: config.verificationsPerHour, windowSeconds: 3_600 },
    signInsOfAddress: {
      name: 'sign-ins-address',
      limit: config.failedSignInsPer15Minutes,
      windowSeconds: 900,
    },
    /** Upgrades of an address without valid credentials; those with valid ones do not count. */
    refusedUpgrades: {
      name: 'refused-upgrades',
      limit: config.refusedUpgradesPerMinute,
      windowSeconds: 60,
    },
    signInsOfAccount: {
      name: 'sign-ins-account',
      limit: config.failedSignInsPer15Minutes,
      windowSeconds: 900,
    },
  }) satisfies Record<string, RatePolicy>
