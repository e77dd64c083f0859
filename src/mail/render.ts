// A mail in the three forms that are sent: subject, plain text, HTML.
import type { MailDocument, RenderedMail } from './document.ts'
import { renderHtml } from './html.ts'
import { plainSentence, renderPlain } from './plain.ts'
import { headerText } from './safe-text.ts'

export const renderMail = (document: MailDocument): RenderedMail => ({
  subject: headerText(plainSentence(document.subject)),
  text: renderPlain(document),
  html: renderHtml(document),
})
