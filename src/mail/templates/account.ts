// Mails about an account: verification, password reset, invitation. Invariant: a mail that goes to an unproven address
// contains no text that a user other than an admin chose, because a registration could otherwise send it to strangers.
import type { MailDocument, RenderedMail } from '../document.ts'
import { renderMail } from '../render.ts'

/** "24 hours", "1 hour", "30 minutes". */
const duration = (minutes: number): string => {
  const [count, unit] =
    minutes >= 2 * 24 * 60
      ? [Math.round(minutes / (24 * 60)), 'day']
      : minutes >= 60
        ? [Math.round(minutes / 60), 'hour']
        : [minutes, 'minute']
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

export interface AccountLink {
  url: string
  /** How long the link still works. */
  validMinutes: number
  /** The admin who invites; null in other mails, and where that account is gone. */
  inviterName: string | null
}

const account = (document: Omit<MailDocument, 'links'>): RenderedMail =>
  renderMail({ ...document, links: [] })

export const verificationMail = ({ url, validMinutes }: AccountLink): RenderedMail =>
  account({
    subject: ['Confirm your e-mail address'],
    preview: ['Confirm the address to receive notifications by mail.'],
    title: 'Confirm your e-mail address',
    blocks: [
      {
        kind: 'text',
        sentence: ['This address was entered for an account of Tasktide. Confirm that it is yours.'],
      },
      { kind: 'button', label: 'Confirm address', url },
      {
        kind: 'small',
        sentence: [
          `The link works for ${duration(validMinutes)}. If you have no account, ignore this mail: without your confirmation the address receives no notifications.`,
        ],
      },
    ],
    reason: 'You receive this mail because your address was entered for an account.',
  })

export const passwordResetMail = ({ url, validMinutes }: AccountLink): RenderedMail =>
  account({
    subject: ['Reset your password'],
    preview: ['Choose a new password for your account.'],
    title: 'Reset your password',
    blocks: [
      { kind: 'text', sentence: ['A new password was requested for your account. Choose it here.'] },
      { kind: 'button', label: 'Choose a new password', url },
      {
        kind: 'small',
        sentence: [
          `The link works once, for ${duration(validMinutes)}. A new password ends all sessions. If you did not ask for it, ignore this mail: your password stays as it is.`,
        ],
      },
    ],
    reason: 'You receive this mail because a new password was requested for your address.',
  })

export const invitationMail = ({ url, validMinutes, inviterName }: AccountLink): RenderedMail =>
  account({
    subject: ['You are invited to Tasktide'],
    preview: ['Accept the invitation and create your account.'],
    title: 'You are invited to Tasktide',
    blocks: [
      {
        kind: 'text',
        sentence: [
          ...(inviterName === null ? ['You are invited'] : [{ theirs: inviterName }, ' invites you']),
          ' to work on tasks with others. Accept the invitation to create your account.',
        ],
      },
      { kind: 'button', label: 'Accept invitation', url },
      {
        kind: 'small',
        sentence: [
          `The link works once, for ${duration(validMinutes)}. If you do not know why you are invited, ignore this mail: no account is created.`,
        ],
      },
    ],
    reason: 'You receive this mail because your address was invited.',
  })
