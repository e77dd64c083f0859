// Sends the link of an account: verification, password reset, invitation. They go to addresses that are not verified:
// that is what they are for.
import { linkToSend } from '../../domain/users/links.ts'
import { pageUrl } from '../../mail/links.ts'
import {
  invitationMail,
  passwordResetMail,
  verificationMail,
  type AccountLink,
} from '../../mail/templates/account.ts'
import type { RenderedMail } from '../../mail/document.ts'
import type { LinkKind } from '../../model/invitation.ts'
import { nothingToCommit, type JobProcessor } from './processor.ts'
import { sendMail } from './send-mail.ts'

const processorOf = <K extends LinkKind>(
  link: K,
  template: (link: AccountLink) => RenderedMail,
): JobProcessor<`mail.${K}`> => ({
  kind: `mail.${link}`,
  async process(deps, { linkId }, { deliveryId, signal }) {
    const found = await linkToSend(deps, linkId)
    if (!found) return nothingToCommit
    const { email, token, expiresAt, inviterName } = found
    const validMinutes = Math.max(1, Math.round((Date.parse(expiresAt) - Date.now()) / 60_000))
    const mail = template({ url: pageUrl(deps.config, link, token), validMinutes, inviterName })
    await sendMail(deps, { id: deliveryId, to: email, unsubscribeUrl: null, ...mail }, signal)
    return nothingToCommit
  },
})

export const mailVerification = processorOf('verification', verificationMail)
export const mailPasswordReset = processorOf('password_reset', passwordResetMail)
export const mailInvitation = processorOf('invitation', invitationMail)
