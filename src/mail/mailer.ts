// What sends mails is to everything else: one interface, two drivers (SMTP, files). Invariants: the same id gives the
// same Message-ID, so that receivers recognise a repeat; an error names the step and the reply code, never an address, a
// subject or a link.

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
