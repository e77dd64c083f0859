// What sends mails is to everything else: one interface, two drivers (SMTP, files). Invariants: the same id gives the
// same Message-ID, so that receivers recognise a repeat; an error names the step and the reply code, never an address, a
// subject or a link.

import type { Trouble } from '../start/trouble.ts'

export interface Mail {
  /** Of the delivery: the local part of the Message-ID. Letters, digits and hyphens. */
  id: string
  to: string
  subject: string
  text: string
  html: string
  /** One-click unsubscribe (RFC 8058): POST it, or open it. Null for mails a person cannot do without. */
  unsubscribeUrl: string | null
}

export interface Mailer extends AsyncDisposable {
  /** Where mails go, for logs and `up`: host and port, or a folder. */
  readonly destination: string
  /**
   * Resolves once the server took responsibility (250), or the file is on the disk.
   * @param signal ends the attempt.
   * @throws MailFailure
   */
  send(mail: Mail, signal?: AbortSignal): Promise<void>
  readonly health: MailHealth
}

/** Milliseconds until readiness has a destination that could not be used looked at again. */
const checkAgainMs = 10_000

/**
 * Why mails cannot be sent: what the last check or the last mail found. Where that was nothing, no connection is made for
 * it; otherwise each look at it later than 10 s after a check begins another one.
 */
export class MailHealth {
  #trouble: Trouble | null = null
  #checkedAt = -Infinity
  #isChecking = false

  /** @param attempt looks at the destination: null where mails can be sent. It never rejects. */
  constructor(private readonly attempt: () => Promise<Trouble | null>) {}

  /** What is known, without an address; null where mails can be sent. */
  read(): string | null {
    if (this.#trouble !== null && performance.now() - this.#checkedAt >= checkAgainMs) void this.check()
    return this.#trouble?.text ?? null
  }

  /** After a mail: null where it was sent. */
  note(trouble: Trouble | null): void {
    this.#trouble = trouble
  }

  async check(): Promise<Trouble | null> {
    if (this.#isChecking) return this.#trouble
    this.#isChecking = true
    this.#trouble = await this.attempt()
    this.#checkedAt = performance.now()
    this.#isChecking = false
    return this.#trouble
  }
}

/** A mail that was not accepted. */
export class MailFailure extends Error {
  override readonly name = 'MailFailure'

  constructor(
    message: string,
    /** Another attempt with the same mail gets the same answer: the server refuses this recipient or this content. */
    readonly isPermanent: boolean,
  ) {
    super(message)
  }
}
